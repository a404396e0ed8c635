/** What the doctor concludes, case by case, from facts made up here. */
import assert from "node:assert/strict";
import { type Check, DENO_VERSION, diagnose } from "../../../model/doctor/checks.ts";
import type { Facts } from "../../../model/doctor/facts.ts";

const LIMITS = {
  maxBufferSize: 4.29e9,
  maxStorageBufferBindingSize: 2147483644,
  maxStorageBuffersPerShaderStage: 32,
  maxComputeWorkgroupStorageSize: 49152,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
};
const ICD = {
  file: "/etc/vulkan/icd.d/nvidia_icd.json",
  library: "libGLX_nvidia.so.0",
  isThere: true,
};
const LAVAPIPE = { file: "/usr/share/vulkan/icd.d/lvp_icd.json", library: "/l.so", isThere: true };

/** A server with an NVIDIA card where all is well. */
const WELL: Facts = {
  os: "linux",
  deno: DENO_VERSION,
  vulkan: { loader: "/usr/lib/libvulkan.so.1", drivers: [ICD], variable: undefined },
  adapter: { name: "NVIDIA H200", software: false, limits: LIMITS },
  features: ["subgroups of 32", "coherent buffers"],
  gpuProblem: undefined,
  cards: [{ card: "NVIDIA H200", totalBytes: 143771 * 2 ** 20, freeBytes: 143159 * 2 ** 20 }],
  hostBytes: 100e9,
  nvidia: {
    hasDevice: true,
    version: "580.159.03",
    visibleDevices: undefined,
    capabilities: undefined,
  },
  isContainer: false,
  isRoot: true,
  hasApt: true,
  cache: { folder: "/c", problem: undefined, freeBytes: 100e9, here: ["main"] },
  port: { host: "127.0.0.1", port: 8080, problem: undefined },
};
const BARE: Partial<Facts> = {
  vulkan: { loader: undefined, drivers: [], variable: undefined },
  adapter: undefined,
  cards: [],
  nvidia: {
    hasDevice: false,
    version: undefined,
    visibleDevices: undefined,
    capabilities: undefined,
  },
};
const SOFTWARE: Partial<Facts> = {
  vulkan: { loader: "/l", drivers: [LAVAPIPE], variable: undefined },
  adapter: { name: "llvmpipe", software: true, limits: LIMITS },
  features: [],
};

function problems(facts: Partial<Facts>): Check[] {
  return diagnose({ ...WELL, ...facts }).filter(({ status }) => status === "problem");
}

function find(name: string, facts: Partial<Facts> = {}): Check {
  return diagnose({ ...WELL, ...facts }).find((check) => check.name === name)!;
}

/** The only problem, as "name: cure". */
function cure(facts: Partial<Facts>): string {
  const found = problems(facts);
  assert.equal(found.length, 1, JSON.stringify(found));
  return `${found[0]!.name}: ${found[0]!.cure}`;
}

Deno.test("where all is well nothing is wrong, and every line says what was found", () => {
  assert.deepEqual(problems({}), []);
  assert.deepEqual(diagnose(WELL).map(({ name }) => name), [
    "Deno",
    "driver",
    "adapter",
    "limits",
    "features",
    "memory",
    "cache",
    "disk",
    "port",
  ]);
  assert.equal(find("driver").text, ICD.file);
  assert.equal(
    find("memory").text,
    "NVIDIA H200: 150.75 GB, 150.11 GB of them free; all branches fit",
  );
  assert.equal(find("cache").text, "/c; here: main");
  assert.equal(find("features").text, "subgroups of 32, coherent buffers (none is needed)");
  assert.equal(find("features", SOFTWARE).text, "none (none is needed)");
  assert.ok(
    diagnose(WELL).every(({ status, cure }) => (status === "problem") === (cure !== undefined)),
  );
});

Deno.test("Deno's version", () => {
  for (const deno of ["2.9.5", "2.8.10", "1.46.3", "2.9.5-rc.1"]) {
    assert.equal(
      cure({ deno }),
      "Deno: npm install -g deno@2.9.6, or start with ./clairon, which brings it",
    );
  }
  for (const deno of ["2.9.10", "2.10.0", "3.0.0"]) {
    assert.deepEqual(problems({ deno }), []);
    assert.equal(find("Deno", { deno }).text, `${deno} (tested with 2.9.6)`);
  }
});

Deno.test("a machine without a driver gets the exact command", () => {
  const packages = "apt-get install -y --no-install-recommends libvulkan1 mesa-vulkan-drivers";
  assert.equal(cure(BARE), `driver: apt-get update && ${packages}`);
  assert.equal(cure({ ...BARE, isRoot: false }), `driver: sudo apt-get update && sudo ${packages}`);
  assert.match(cure({ ...BARE, hasApt: false }), /^driver: install .*Fedora: .*Arch: /);
  assert.equal(
    find("driver", BARE).text,
    "the Vulkan loader (libvulkan.so.1) is missing; no Vulkan driver is registered",
  );
  assert.equal(
    cure({ ...BARE, os: "darwin", vulkan: undefined }),
    "driver: update the graphics driver",
  );
});

Deno.test("drivers that are registered in vain", () => {
  const broken = { ...LAVAPIPE, isThere: false };
  const loader = "/l";
  const vulkan = { loader, drivers: [broken], variable: undefined };
  assert.match(
    find("driver", { ...BARE, vulkan }).text,
    /lvp_icd\.json names \/l\.so, which is not there$/,
  );
  const named = {
    loader,
    drivers: [{ file: "/x.json", library: "", isThere: false }],
    variable: "VK_DRIVER_FILES",
  };
  assert.match(
    cure({ ...BARE, vulkan: named }),
    /^driver: unset VK_DRIVER_FILES, or correct it; if no driver is installed: apt-get update && /,
  );
  assert.match(
    find("driver", { ...BARE, vulkan: named }).text,
    /^\/x\.json is missing.*\(VK_DRIVER_FILES names the drivers\)$/,
  );
  const idle = { loader, drivers: [LAVAPIPE], variable: undefined };
  assert.match(find("driver", { ...BARE, vulkan: idle }).text, /^no driver finds a GPU \(/);
  // Beside a driver that works, a broken one is only worth a note.
  assert.deepEqual(problems({ vulkan: { ...WELL.vulkan!, drivers: [ICD, broken] } }), []);
});

Deno.test("an NVIDIA card that is there but not used", () => {
  const missing = { ...SOFTWARE, nvidia: WELL.nvidia };
  assert.equal(cure(missing), "NVIDIA: apt-get install -y libnvidia-gl-580");
  assert.equal(
    cure({ ...missing, isRoot: false }),
    "NVIDIA: sudo apt-get install -y libnvidia-gl-580",
  );
  const idle = {
    ...missing,
    vulkan: { loader: "/l", drivers: [ICD, LAVAPIPE], variable: undefined },
  };
  assert.match(cure(idle), /^NVIDIA: apt-get install .* libegl1 libxext6 libgl1$/);
  const chosen = {
    ...missing,
    vulkan: { loader: "/l", drivers: [LAVAPIPE], variable: "VK_DRIVER_FILES" },
  };
  assert.deepEqual(problems(chosen), []);
  assert.match(find("NVIDIA", chosen).text, /VK_DRIVER_FILES chooses another driver/);
});

Deno.test("in a container, the NVIDIA variables that are missing", () => {
  const container = { ...SOFTWARE, isContainer: true };
  const nvidia = WELL.nvidia;
  const both =
    "-e NVIDIA_VISIBLE_DEVICES=all -e NVIDIA_DRIVER_CAPABILITIES=graphics,compute,utility";
  assert.equal(cure({ ...container, nvidia }), `NVIDIA: docker run --gpus all ${both} …`);
  const utility = { ...nvidia, visibleDevices: "all", capabilities: "compute,utility" };
  assert.equal(
    cure({ ...container, nvidia: utility }),
    "NVIDIA: docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=graphics,compute,utility …",
  );
  for (const capabilities of ["all", "graphics,compute,utility", "utility, graphics"]) {
    const given = { ...nvidia, visibleDevices: "0", capabilities };
    assert.equal(
      cure({ ...container, nvidia: given }),
      "NVIDIA: apt-get install -y libnvidia-gl-580",
    );
  }
  const none = { ...container, nvidia: BARE.nvidia! };
  assert.deepEqual(problems(none), []);
  assert.match(
    find("NVIDIA", none).text,
    /^no card is visible in this container; not set: NVIDIA_VIS/,
  );
  assert.equal(find("NVIDIA", { ...SOFTWARE, nvidia: BARE.nvidia! }), undefined);
});

Deno.test("the adapter: software is a note, one that does not open is a problem", () => {
  assert.equal(find("adapter", SOFTWARE).status, "note");
  const gpuProblem = "Not enough memory left.";
  assert.match(find("adapter", { gpuProblem }).text, /^NVIDIA H200: Not enough memory left\.$/);
  assert.equal(problems({ gpuProblem }).length, 1);
  const limits = { ...LIMITS, maxStorageBuffersPerShaderStage: 7 };
  const adapter = { ...WELL.adapter!, limits };
  assert.equal(cure({ adapter }), "limits: update the graphics driver");
});

Deno.test("memory: which branches fit", () => {
  const card = (gigabytes: number) => ({
    cards: [{ card: "X", totalBytes: gigabytes * 1e9, freeBytes: 1e9 }],
  });
  assert.match(find("memory", card(9)).text, /; all branches fit$/);
  assert.match(
    find("memory", card(6)).text,
    /; main, gptq-4bit-64g-actorder_True, gptq-4bit-32g-actorder_True would fit, not gptq-8bit--1g/,
  );
  assert.match(find("memory", card(4)).text, /; no branch would fit, not main/);
  assert.equal(find("memory", card(4)).status, "note");
  assert.match(find("memory", { cards: [] }).text, /^unknown: .*main needs 4\.\d\d GB$/);
  assert.match(
    find("memory", SOFTWARE).text,
    /^100\.00 GB of this machine's memory; all branches fit$/,
  );
  assert.deepEqual(problems({ cards: [] }), []);
});

Deno.test("disk, cache and port", () => {
  const cache = (facts: Partial<Facts["cache"]>) => ({
    cache: { ...WELL.cache, here: [], ...facts },
  });
  assert.match(
    find("disk", cache({ freeBytes: 4.1e9 })).text,
    /^4\.10 GB free; main would fit, not gptq-4bit-64g/,
  );
  assert.equal(find("disk", cache({ freeBytes: 1e9 })).status, "note");
  assert.match(find("disk", cache({ freeBytes: 1e9, here: ["main"] })).text, /; main would fit/);
  const problem = "/c cannot be written (PermissionDenied)";
  assert.equal(cure(cache({ problem })), "cache: set HF_HUB_CACHE to a folder that can be written");
  const port = (port: number, problem: string) => ({ port: { host: "h", port, problem } });
  assert.equal(cure(port(8080, "another program has it")), "port: choose another one: --port 8081");
  assert.equal(
    cure(port(65535, "another program has it")),
    "port: choose another one: --port 65534",
  );
  assert.equal(cure(port(1, "h is no address of this machine")), "port: choose another --host");
});

Deno.test("the launcher and the doctor want the same Deno", async () => {
  const launcher = await Deno.readTextFile(new URL("../../../clairon", import.meta.url));
  assert.ok(launcher.includes(`\nDENO_VERSION=${DENO_VERSION}\n`));
});
