/**
 * What the facts mean: what is well, what is worth knowing, and what is wrong, with its cure.
 *
 * Knows what Clairon needs of a machine. Looks at nothing itself, so that every case can be tested.
 */
import { BRANCHES, diskBytes, memoryBytes } from "../hub/branches.ts";
import { formatBytes } from "../sizes.ts";
import { driverChecks } from "./driver_checks.ts";
import type { Facts } from "./facts.ts";

export interface Check {
  name: string;
  /** A note is worth knowing; only a problem is wrong. */
  status: "ok" | "note" | "problem";
  text: string;
  /** What to do, a command where one does it. */
  cure?: string;
}

/** The Deno that Clairon is tested with; the launcher installs it. */
export const DENO_VERSION = "2.9.6";

/** What the kernels need; WebGPU promises as much, so a driver that has less is at fault. */
const NEEDED = {
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
} as const;

/** What a driver takes beside our buffers: 0.38 GB were seen (LOG.md, 2026-11-24). */
const DRIVER_BYTES = 0.4e9;

export function diagnose(facts: Facts): Check[] {
  return [
    denoCheck(facts),
    ...driverChecks(facts),
    ...adapterChecks(facts),
    memoryCheck(facts),
    ...cacheChecks(facts),
    portCheck(facts),
  ];
}

function denoCheck({ deno }: Facts): Check {
  const name = "Deno";
  if (isOlder(deno, DENO_VERSION)) {
    const cure = `npm install -g deno@${DENO_VERSION}, or start with ./clairon, which brings it`;
    return { name, status: "problem", text: `${deno} is older than ${DENO_VERSION}`, cure };
  }
  const tested = deno === DENO_VERSION ? "" : ` (tested with ${DENO_VERSION})`;
  return { name, status: "ok", text: `${deno}${tested}` };
}

function isOlder(version: string, than: string): boolean {
  const numbers = (text: string) => text.split(/[.+-]/).slice(0, 3).map(Number);
  const [a, b] = [numbers(version), numbers(than)];
  const place = [0, 1, 2].find((i) => a[i] !== b[i]);
  return place !== undefined && a[place]! < b[place]!;
}

function adapterChecks({ adapter, features, gpuProblem }: Facts): Check[] {
  if (adapter === undefined) return [];
  const { name, software, limits } = adapter;
  const found: Check = software
    ? { name: "adapter", status: "note", text: `${name}: a CPU does the GPU's work, slowly` }
    : { name: "adapter", status: "ok", text: name };
  if (gpuProblem !== undefined) {
    const cure = "update the graphics driver, and end programs that hold the GPU's memory";
    return [{ name: "adapter", status: "problem", text: `${name}: ${gpuProblem}`, cure }];
  }
  const short = Object.entries(NEEDED).filter(([limit, least]) =>
    limits[limit as keyof typeof NEEDED] < least
  );
  const text = [
    `buffers to ${formatBytes(limits.maxBufferSize)}`,
    `bindings to ${formatBytes(limits.maxStorageBufferBindingSize)}`,
    `${limits.maxStorageBuffersPerShaderStage} bindings a kernel`,
    `${limits.maxComputeInvocationsPerWorkgroup} threads and ` +
    `${limits.maxComputeWorkgroupStorageSize} bytes a workgroup`,
  ].join(", ");
  return [
    found,
    short.length === 0 ? { name: "limits", status: "ok", text } : {
      name: "limits",
      status: "problem",
      text: short.map(([limit, least]) => `${limit} is below ${least}`).join(", "),
      cure: "update the graphics driver",
    },
    { name: "features", status: "ok", text: `${features.join(", ") || "none"} (none is needed)` },
  ];
}

function memoryCheck({ adapter, cards, hostBytes }: Facts): Check {
  const name = "memory";
  const [card] = [...cards].sort((a, b) => b.totalBytes - a.totalBytes);
  const isSoftware = adapter?.software ?? false;
  if (card === undefined && !isSoftware) {
    const text = "unknown: neither nvidia-smi nor the AMD driver tells";
    return { name, status: "note", text: `${text}. ${needs()}` };
  }
  const bytes = isSoftware ? hostBytes : card!.totalBytes;
  const what = isSoftware
    ? `${formatBytes(bytes)} of this machine's memory`
    : `${card!.card}: ${formatBytes(bytes)}, ${formatBytes(card!.freeBytes)} of them free`;
  const [fit, large] = split((branch) => memoryBytes(branch) + DRIVER_BYTES <= bytes);
  const status = fit.length > 0 ? "ok" : "note";
  return { name, status, text: `${what}; ${fits("fit", fit, large)}` };
}

function needs(): string {
  return `${BRANCHES[0]!.revision} needs ${formatBytes(memoryBytes(BRANCHES[0]!))}`;
}

/** The branches that pass, and those that do not. */
function split(passes: (branch: (typeof BRANCHES)[number]) => boolean): [string[], string[]] {
  const names = (wanted: boolean) =>
    BRANCHES.filter((branch) => passes(branch) === wanted).map(({ revision }) => revision);
  return [names(true), names(false)];
}

/** "all branches fit", or which do and which do not. */
function fits(verb: string, yes: string[], no: string[]): string {
  if (no.length === 0) return `all branches ${verb}`;
  const which = yes.length === 0 ? "no branch" : yes.join(", ");
  return `${which} would ${verb}, not ${no.join(", ")}`;
}

function cacheChecks({ cache }: Facts): Check[] {
  const { folder, problem, here } = cache;
  const name = "cache";
  if (folder === undefined || problem !== undefined) {
    const cure = "set HF_HUB_CACHE to a folder that can be written";
    return [{ name, status: "problem", text: problem ?? "none", cure }];
  }
  const models = here.length === 0 ? "no branch of Claire is there" : `here: ${here.join(", ")}`;
  const [fit, large] = split((branch) =>
    here.includes(branch.revision) || diskBytes(branch) <= cache.freeBytes
  );
  return [
    { name, status: "ok", text: `${folder}; ${models}` },
    {
      name: "disk",
      status: fit.length > 0 ? "ok" : "note",
      text: Number.isFinite(cache.freeBytes)
        ? `${formatBytes(cache.freeBytes)} free; ${fits("fit", fit, large)}`
        : "the system does not tell how much is free",
    },
  ];
}

function portCheck({ port: { host, port, problem } }: Facts): Check {
  const text = `${port} on ${host}`;
  if (problem === undefined) return { name: "port", status: "ok", text: `${text} is free` };
  const other = port < 65535 ? port + 1 : port - 1;
  const cure = /address/.test(problem)
    ? "choose another --host"
    : `choose another one: --port ${other}`;
  return { name: "port", status: "problem", text: `${text}: ${problem}`, cure };
}
