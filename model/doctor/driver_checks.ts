/**
 * Whether a GPU driver is there and the right one is used.
 *
 * Knows Vulkan's loader and drivers, NVIDIA's parts and containers. Looks at nothing itself.
 */
import type { Check } from "./checks.ts";
import type { Facts } from "./facts.ts";

const PACKAGES = "libvulkan1 mesa-vulkan-drivers";
const INSTALL = "apt-get install -y --no-install-recommends";
/** What the graphics part of NVIDIA's driver loads, where nothing else brought it. */
const NVIDIA_NEEDS = "libegl1 libxext6 libgl1";

export function driverChecks(facts: Facts): Check[] {
  return [...vulkanChecks(facts), ...nvidiaChecks(facts)];
}

function vulkanChecks(facts: Facts): Check[] {
  const { vulkan, adapter } = facts;
  if (vulkan === undefined) {
    if (adapter) return [];
    const cure = "update the graphics driver";
    return [{ name: "driver", status: "problem", text: "no GPU adapter was found", cure }];
  }
  const { loader, drivers, variable } = vulkan;
  const registered = drivers.filter(({ isThere }) => isThere);
  const broken = drivers.filter(({ isThere }) => !isThere);
  const list = registered.map(({ file }) => file).join(", ");
  const source = variable === undefined ? "" : ` (${variable} names the drivers)`;
  const damage = broken.map(({ file, library }) =>
    library === ""
      ? `${file} is missing, or registers no driver`
      : `${file} names ${library}, which is not there`
  );
  if (adapter) {
    const text = `${list || "found, but not in the usual folders"}${source}`;
    const checks: Check[] = [{ name: "driver", status: "ok", text }];
    if (damage.length > 0) checks.push({ name: "driver", status: "note", text: damage.join("; ") });
    return checks;
  }
  const missing = [
    ...(loader === undefined ? ["the Vulkan loader (libvulkan.so.1) is missing"] : []),
    ...(drivers.length === 0 ? ["no Vulkan driver is registered"] : damage),
  ];
  if (missing.length === 0) missing.push(`no driver finds a GPU (${list})`);
  const cure = variable === undefined
    ? installCommand(facts)
    : `unset ${variable}, or correct it; if no driver is installed: ${installCommand(facts)}`;
  return [{ name: "driver", status: "problem", text: `${missing.join("; ")}${source}`, cure }];
}

/** The exact command for this machine, where it has Debian's tool. */
function installCommand({ hasApt, isRoot }: Facts): string {
  if (!hasApt) {
    return "install the Vulkan loader and a driver (Fedora: vulkan-loader mesa-vulkan-drivers; " +
      "Arch: vulkan-icd-loader vulkan-swrast)";
  }
  const sudo = isRoot ? "" : "sudo ";
  return `${sudo}apt-get update && ${sudo}${INSTALL} ${PACKAGES}`;
}

function nvidiaChecks(facts: Facts): Check[] {
  const { nvidia, isContainer, vulkan, adapter } = facts;
  const name = "NVIDIA";
  const missing = missingVariables(facts);
  if (!nvidia.hasDevice) {
    if (!isContainer) return [];
    const text = missing.length === 0
      ? "no card is visible in this container"
      : `no card is visible in this container; not set: ${missing.join(", ")}`;
    return [{ name, status: "note", text: `${text}. With a card: ${containerCure(missing)}` }];
  }
  if (vulkan === undefined || /nvidia/i.test(adapter?.name ?? "")) return [];
  const isRegistered = vulkan.drivers.some(({ file }) => /nvidia/i.test(file));
  if (vulkan.variable !== undefined) {
    const text = `there is a card, but ${vulkan.variable} chooses another driver`;
    return [{ name, status: "note", text }];
  }
  if (isContainer && missing.length > 0) {
    const text =
      `there is a card, but its Vulkan driver is not let into this container; not set: ` +
      missing.join(", ");
    return [{ name, status: "problem", text, cure: containerCure(missing) }];
  }
  if (!isRegistered) {
    const major = nvidia.version?.split(".")[0] ?? "<version>";
    const text = "there is a card, but the graphics part of its driver, which holds Vulkan, is not";
    const sudo = facts.isRoot ? "" : "sudo ";
    return [{
      name,
      status: "problem",
      text,
      cure: `${sudo}apt-get install -y libnvidia-gl-${major}`,
    }];
  }
  const text = "there is a card and a Vulkan driver for it, but the driver does not start";
  const sudo = facts.isRoot ? "" : "sudo ";
  return [{ name, status: "problem", text, cure: `${sudo}${INSTALL} ${NVIDIA_NEEDS}` }];
}

/** Variables that a container needs to see a card with Vulkan. */
function missingVariables({ nvidia: { visibleDevices, capabilities } }: Facts): string[] {
  const missing: string[] = [];
  if (!visibleDevices || /^(void|none)$/.test(visibleDevices)) {
    missing.push("NVIDIA_VISIBLE_DEVICES=all");
  }
  const given = (capabilities ?? "").split(",").map((each) => each.trim());
  if (!given.includes("all") && !given.includes("graphics")) {
    missing.push("NVIDIA_DRIVER_CAPABILITIES=graphics,compute,utility");
  }
  return missing;
}

function containerCure(missing: string[]): string {
  return ["docker run --gpus all", ...missing.map((each) => `-e ${each}`), "…"].join(" ");
}
