/**
 * The GPU, opened once and made honest: errors that WebGPU reports silently become exceptions here.
 *
 * Knows adapters, limits, errors and how many bytes of buffers are ours. Knows nothing of what is
 * computed.
 */
import { type AdapterFacts, describeAdapter, findAdapter } from "./adapter.ts";

/** Something the GPU refused; `message` holds the driver's text and is for logs, not for clients. */
export class GpuError extends Error {
  override name = "GpuError";
}

export interface GpuOptions {
  /** Lowers the largest binding we use, for tests: the adapter's own limit cannot be lowered. */
  maxBindingBytes?: number;
}

export interface Gpu {
  readonly device: GPUDevice;
  /** The adapter's name, as the driver gives it. */
  readonly adapter: string;
  /** Whether the adapter is a CPU (Mesa's lavapipe, say). */
  readonly software: boolean;
  /** Threads of a subgroup; 0 when the GPU has none, or not of one size. */
  readonly subgroupSize: number;
  /** Whether workgroups of one dispatch can exchange data through `@coherent` buffers. */
  readonly coherent: boolean;
  /** Whether passes can be timed. */
  readonly timestamps: boolean;
  /** Whether kernels can compute in half precision. */
  readonly halves: boolean;
  /** Largest range of a buffer one binding may show, in bytes. */
  readonly maxBindingBytes: number;
  /** Resolves with the reason once the device is gone, on purpose or not. */
  readonly lost: Promise<string>;
  /** @throws {GpuError} with the first error the GPU reported since the last call. */
  check(): void;
  /** A zeroed buffer, counted in `allocatedBytes`. Its size is rounded up to 4 bytes. */
  createBuffer(label: string, bytes: number, usage: GPUBufferUsageFlags): GPUBuffer;
  /** Frees a buffer made by `createBuffer`. */
  freeBuffer(buffer: GPUBuffer): void;
  /** Frees every buffer made by `createBuffer`. */
  freeBuffers(): void;
  /** Bytes of the buffers alive. */
  readonly allocatedBytes: number;
  close(): void;
}

/** Used where they are there. Deno's adapters do not list them all, but devices take them. */
const WANTED_FEATURES = [
  "subgroups",
  "wgpu-memory-decoration-coherent",
  "timestamp-query",
  "shader-f16",
] as GPUFeatureName[];

/**
 * Opens the fastest adapter with its own limits instead of WebGPU's small defaults.
 *
 * @throws {GpuError} when there is no adapter, with the cure.
 */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  const adapter = await needAdapter();
  const facts = describeAdapter(adapter);
  const device = await openDevice(adapter, WANTED_FEATURES)
    .catch(async () => await openDevice(await needAdapter(), []));
  return new OpenGpu(device, facts, adapter.info, options);
}

async function needAdapter(): Promise<GPUAdapter> {
  const adapter = await findAdapter();
  if (adapter) return adapter;
  throw new GpuError(
    "No GPU adapter was found: install a Vulkan driver " +
      "(without a GPU, on Debian: apt-get install libvulkan1 mesa-vulkan-drivers); " +
      "the command doctor says more",
  );
}

function openDevice(adapter: GPUAdapter, requiredFeatures: GPUFeatureName[]): Promise<GPUDevice> {
  const { limits } = describeAdapter(adapter);
  return adapter.requestDevice({ requiredLimits: limits, requiredFeatures });
}

class OpenGpu implements Gpu {
  readonly adapter: string;
  readonly software: boolean;
  readonly subgroupSize: number;
  readonly coherent: boolean;
  readonly timestamps: boolean;
  readonly halves: boolean;
  readonly maxBindingBytes: number;
  readonly lost: Promise<string>;
  allocatedBytes = 0;
  #errors: string[] = [];
  #alive = new Set<GPUBuffer>();

  constructor(
    readonly device: GPUDevice,
    { name, software }: AdapterFacts,
    { subgroupMinSize, subgroupMaxSize }: GPUAdapterInfo,
    options: GpuOptions,
  ) {
    this.adapter = name;
    this.software = software;
    const [subgroups, coherent, timestamps, halves] = WANTED_FEATURES.map((name) =>
      device.features.has(name)
    );
    this.subgroupSize = subgroups && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0;
    this.coherent = coherent;
    this.timestamps = timestamps;
    this.halves = halves;
    this.maxBindingBytes = Math.min(
      device.limits.maxStorageBufferBindingSize,
      options.maxBindingBytes ?? Infinity,
    );
    this.lost = device.lost.then((info) => info.message || info.reason || "unknown reason");
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#errors.push((event as GPUUncapturedErrorEvent).error.message);
    });
  }

  check(): void {
    const [first] = this.#errors;
    this.#errors = [];
    if (first !== undefined) throw new GpuError(first);
  }

  createBuffer(label: string, bytes: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const size = Math.ceil(bytes / 4) * 4;
    const buffer = this.device.createBuffer({ label, size, usage });
    this.#alive.add(buffer);
    this.allocatedBytes += size;
    return buffer;
  }

  freeBuffer(buffer: GPUBuffer): void {
    if (!this.#alive.delete(buffer)) return;
    this.allocatedBytes -= buffer.size;
    buffer.destroy();
  }

  freeBuffers(): void {
    for (const buffer of this.#alive) buffer.destroy();
    this.#alive.clear();
    this.allocatedBytes = 0;
  }

  close(): void {
    this.freeBuffers();
    this.device.destroy();
  }
}
