/**
 * What there is on this machine, as the doctor wants to know it.
 *
 * Knows where to look. Judges nothing: `checks.ts` does.
 */
import { dirname } from "node:path";
import { type AdapterFacts, describeAdapter, findAdapter } from "../../gpu/adapter.ts";
import { openGpu } from "../../gpu/device.ts";
import { findGraphicsMemory, type GraphicsMemory } from "../../gpu/graphics_memory.ts";
import { findVulkan, type VulkanFacts } from "../../gpu/vulkan_drivers.ts";
import { freeBytes } from "../disk.ts";
import { BRANCHES } from "../hub/branches.ts";
import { findCached } from "../hub/cached.ts";
import { DEFAULT_REPO } from "../hub/names.ts";
import { hubSettings, type Variables } from "../hub/settings.ts";

export interface Facts {
  os: typeof Deno.build.os;
  deno: string;
  /** On Linux. */
  vulkan: VulkanFacts | undefined;
  adapter: AdapterFacts | undefined;
  /** What the opened GPU can do beyond what every GPU can, in words. */
  features: string[];
  /** Why the adapter could not be opened. */
  gpuProblem: string | undefined;
  cards: GraphicsMemory[];
  /** Bytes of the machine's own memory that programs can still have. */
  hostBytes: number;
  nvidia: {
    /** Whether the kernel shows a card. */
    hasDevice: boolean;
    /** Of its kernel module, such as "580.159.03". */
    version: string | undefined;
    visibleDevices: string | undefined;
    capabilities: string | undefined;
  };
  isContainer: boolean;
  isRoot: boolean;
  hasApt: boolean;
  cache: CacheFacts;
  port: { host: string; port: number; problem: string | undefined };
}

export interface CacheFacts {
  folder: string | undefined;
  /** Why nothing can be kept there. */
  problem: string | undefined;
  freeBytes: number;
  /** Revisions of Claire that are there, whole. */
  here: string[];
}

export interface Asked {
  variables: Variables;
  host: string;
  port: number;
}

export async function gatherFacts({ variables, host, port }: Asked): Promise<Facts> {
  // As for the launcher: stands before every system path. Only tests set it.
  const root = variables.CLAIRON_SYSROOT ?? "";
  const { os } = Deno.build;
  const { adapter, features, gpuProblem } = await tryGpu();
  return {
    os,
    deno: Deno.version.deno,
    vulkan: os === "linux" ? await findVulkan(variables, root) : undefined,
    adapter,
    features,
    gpuProblem,
    cards: await findGraphicsMemory(root),
    hostBytes: Deno.systemMemoryInfo().available,
    nvidia: {
      hasDevice: await exists(`${root}/proc/driver/nvidia`) || await exists(`${root}/dev/nvidia0`),
      version: await nvidiaVersion(`${root}/proc/driver/nvidia/version`),
      visibleDevices: variables.NVIDIA_VISIBLE_DEVICES,
      capabilities: variables.NVIDIA_DRIVER_CAPABILITIES,
    },
    isContainer: variables.KUBERNETES_SERVICE_HOST !== undefined ||
      await exists(`${root}/.dockerenv`) || await exists(`${root}/run/.containerenv`),
    isRoot: Deno.uid() === 0,
    hasApt: await exists(`${root}/usr/bin/apt-get`),
    cache: await cacheFacts(variables),
    port: { host, port, problem: portProblem(host, port) },
  };
}

/** Opens the GPU and closes it again. */
async function tryGpu(): Promise<Pick<Facts, "adapter" | "features" | "gpuProblem">> {
  const found = await findAdapter();
  const adapter = found && describeAdapter(found);
  if (adapter === undefined) return { adapter, features: [], gpuProblem: undefined };
  try {
    const gpu = await openGpu();
    const { subgroupSize, coherent, timestamps } = gpu;
    gpu.close();
    const features = [
      ...subgroupSize > 0 ? [`subgroups of ${subgroupSize}`] : [],
      ...coherent ? ["coherent buffers"] : [],
      ...timestamps ? ["timestamps"] : [],
    ];
    return { adapter, features, gpuProblem: undefined };
  } catch (error) {
    const gpuProblem = error instanceof Error ? error.message : String(error);
    return { adapter, features: [], gpuProblem };
  }
}

async function cacheFacts(variables: Variables): Promise<CacheFacts> {
  let settings: ReturnType<typeof hubSettings>;
  try {
    settings = hubSettings(variables);
  } catch (error) {
    const problem = (error as Error).message;
    return { folder: undefined, problem, freeBytes: 0, here: [] };
  }
  const { cache: folder } = settings;
  const here: string[] = [];
  for (const { revision } of BRANCHES) {
    if (await findCached({ repo: DEFAULT_REPO, revision }, settings)) here.push(revision);
  }
  const problem = await writingProblem(folder);
  return { folder, problem, freeBytes: await freeBytes(folder), here };
}

/** Tries to write where the folder is, or where it would be made; leaves nothing behind. */
async function writingProblem(folder: string): Promise<string | undefined> {
  let at = folder;
  while (!(await exists(at)) && at !== dirname(at)) at = dirname(at);
  try {
    await Deno.remove(await Deno.makeTempFile({ dir: at }));
    return undefined;
  } catch (error) {
    return `${at} cannot be written (${error instanceof Error ? error.name : error})`;
  }
}

function portProblem(hostname: string, port: number): string | undefined {
  try {
    Deno.listen({ hostname, port }).close();
    return undefined;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return "another program has it";
    if (error instanceof Deno.errors.PermissionDenied) return "this user may not have it";
    return `${hostname} is no address of this machine`;
  }
}

async function nvidiaVersion(path: string): Promise<string | undefined> {
  try {
    return /\b(\d+\.\d+(\.\d+)?)\b/.exec(await Deno.readTextFile(path))?.[1];
  } catch {
    return undefined;
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
