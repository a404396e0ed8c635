/**
 * The few kinds of buffer a compute program needs, by what they are for.
 *
 * Knows usages and uploads. Knows no shapes and no meaning of what is stored.
 */
import type { Gpu } from "./device.ts";

type Data = ArrayBufferView<ArrayBuffer>;

/** Memory that kernels read and write; it can be copied from and written by the host. */
export function storageBuffer(gpu: Gpu, label: string, bytes: number): GPUBuffer {
  return gpu.createBuffer(
    label,
    bytes,
    GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
  );
}

/** A storage buffer holding `data`. */
export function storageFrom(gpu: Gpu, label: string, data: Data): GPUBuffer {
  const buffer = storageBuffer(gpu, label, data.byteLength);
  gpu.device.queue.writeBuffer(buffer, 0, padded(data));
  return buffer;
}

/** A uniform buffer holding `data`. */
export function uniformFrom(gpu: Gpu, label: string, data: Data): GPUBuffer {
  const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  const buffer = gpu.createBuffer(label, Math.max(16, data.byteLength), usage);
  gpu.device.queue.writeBuffer(buffer, 0, padded(data));
  return buffer;
}

/** Writes must be whole 32-bit words. */
function padded(data: Data): Data {
  if (data.byteLength % 4 === 0) return data;
  const whole = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
  whole.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return whole;
}
