/**
 * The GPU that there is: found, and described.
 *
 * Knows which backend is asked for, and what tells a CPU from a GPU. Opens nothing.
 */

export interface AdapterFacts {
  /** As the driver gives it. */
  name: string;
  /** Whether it is a CPU (Mesa's lavapipe, say). */
  software: boolean;
  limits: Record<LimitName, number>;
}

/** The limits that decide what fits; they are asked for, since WebGPU's defaults are small. */
export const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
] as const;

export type LimitName = (typeof WANTED_LIMITS)[number];

/** The fastest adapter; undefined when there is none. */
export async function findAdapter(): Promise<GPUAdapter | undefined> {
  // Without a Vulkan driver Deno would quietly take an OpenGL one that runs on the CPU.
  if (Deno.build.os === "linux" && !Deno.env.get("DENO_WEBGPU_BACKEND")) {
    Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");
  }
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  return adapter ?? undefined;
}

export function describeAdapter({ info, limits }: GPUAdapter): AdapterFacts {
  const name = info.description || info.device || info.vendor || "unnamed adapter";
  return {
    name,
    software: info.isFallbackAdapter || /llvmpipe|lavapipe|swiftshader/i.test(name),
    limits: Object.fromEntries(WANTED_LIMITS.map((name) => [name, limits[name]])) as Record<
      LimitName,
      number
    >,
  };
}
