/**
 * Reading results back without Deno's 10 ms wait.
 *
 * In Deno 2.9 an awaited `mapAsync` always sleeps 10 ms, but the map itself is complete when the
 * call returns, so a range can be taken at once, provided that the buffer was mapped once before
 * (the process would panic otherwise). This leans on Deno's inside: it is tried when a device is
 * first used, and where it does not hold every read awaits instead.
 */
import type { Gpu } from "./device.ts";

const immediate = new WeakMap<Gpu, Promise<boolean>>();

/** A host-visible buffer that results are copied to. One copy and one read at a time. */
export class Readback {
  private constructor(
    private readonly gpu: Gpu,
    readonly buffer: GPUBuffer,
    private readonly isImmediate: boolean,
  ) {}

  static async create(gpu: Gpu, label: string, bytes: number): Promise<Readback> {
    if (!immediate.has(gpu)) immediate.set(gpu, worksImmediately(gpu));
    const isImmediate = await immediate.get(gpu)!;
    return new Readback(gpu, await warmBuffer(gpu, label, bytes), isImmediate);
  }

  /** Encodes the copy of `bytes` bytes of `source` into place `at`. */
  copy(encoder: GPUCommandEncoder, source: GPUBuffer, offset: number, bytes: number, at = 0): void {
    encoder.copyBufferToBuffer(source, offset, this.buffer, at, bytes);
  }

  /**
   * Waits for everything submitted, then returns a copy of the first `bytes` bytes.
   *
   * @throws {GpuError} when the GPU reported an error since the last check.
   */
  async read(bytes: number): Promise<ArrayBuffer> {
    const mapping = this.buffer.mapAsync(GPUMapMode.READ, 0, bytes);
    if (this.isImmediate) mapping.catch(() => undefined);
    else await mapping.catch(() => this.gpu.check());
    this.gpu.check();
    const copy = this.buffer.getMappedRange(0, bytes).slice(0);
    this.buffer.unmap();
    return copy;
  }

  free(): void {
    this.gpu.freeBuffer(this.buffer);
  }
}

/** Reads a buffer once, slowly; for tests and set-up. */
export async function readOnce(gpu: Gpu, source: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const target = gpu.createBuffer("read once", bytes, usage);
  const encoder = gpu.device.createCommandEncoder();
  encoder.copyBufferToBuffer(source, 0, target, 0, bytes);
  gpu.device.queue.submit([encoder.finish()]);
  await target.mapAsync(GPUMapMode.READ);
  const copy = target.getMappedRange().slice(0);
  gpu.freeBuffer(target);
  gpu.check();
  return copy;
}

async function warmBuffer(gpu: Gpu, label: string, bytes: number): Promise<GPUBuffer> {
  const buffer = gpu.createBuffer(label, bytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  await buffer.mapAsync(GPUMapMode.READ);
  buffer.unmap();
  return buffer;
}

async function worksImmediately(gpu: Gpu): Promise<boolean> {
  const marker = 0x5eed;
  const source = gpu.createBuffer(
    "readback probe",
    4,
    GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  );
  const target = await warmBuffer(gpu, "readback probe", 4);
  gpu.device.queue.writeBuffer(source, 0, new Uint32Array([marker]));
  const encoder = gpu.device.createCommandEncoder();
  encoder.copyBufferToBuffer(source, 0, target, 0, 4);
  gpu.device.queue.submit([encoder.finish()]);
  const mapping = target.mapAsync(GPUMapMode.READ);
  try {
    return new Uint32Array(target.getMappedRange())[0] === marker;
  } catch {
    return false;
  } finally {
    await mapping;
    gpu.freeBuffer(source);
    gpu.freeBuffer(target);
  }
}
