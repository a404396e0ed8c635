/**
 * Where weights go: ranges of buffers, in the order in which they are asked for.
 *
 * Knows how large a buffer may be. With arenas, what is loaded between two calls of `open` lies in
 * one buffer, so that a kernel can see all of it through one binding. Knows nothing of what it holds.
 */
import { storageBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/device.ts";

/** A part of a buffer, bound as it is. */
export interface Range {
  buffer: GPUBuffer;
  offset: number;
  size: number;
}

/** No buffer larger than this without arenas: some drivers refuse what their smallest heap cannot hold. */
const LARGEST_BUFFER = 128 * 2 ** 20;
/** With arenas: large enough that few dispatches see all layers. */
const LARGEST_ARENA = 2 ** 30;
/** WebGPU binds ranges at multiples of it. */
const ALIGNMENT = 256;

/** Bytes that a range of so many takes in an arena. */
export function rangeBytes(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

export class WeightHeap {
  /** The largest range. */
  readonly largest: number;
  #open: { buffer: GPUBuffer; used: number } | undefined;

  constructor(private readonly gpu: Gpu, readonly arenas: boolean) {
    this.largest = Math.min(gpu.maxBindingBytes, arenas ? LARGEST_ARENA : LARGEST_BUFFER);
  }

  /**
   * From now on ranges lie one after the other in a buffer of so many bytes; without arenas, or where
   * the GPU refuses so large a buffer, each stays in a buffer of its own.
   */
  async open(label: string, bytes: number): Promise<void> {
    if (!this.arenas) return;
    const { device } = this.gpu;
    device.pushErrorScope("out-of-memory");
    const buffer = storageBuffer(this.gpu, label, bytes);
    const error = await device.popErrorScope();
    if (error) this.gpu.freeBuffer(buffer);
    this.#open = error ? undefined : { buffer, used: 0 };
  }

  /** From now on each range has a buffer of its own. */
  close(): void {
    this.#open = undefined;
  }

  /** Zeroed memory. */
  take(label: string, bytes: number): Range {
    const size = Math.ceil(bytes / 4) * 4;
    const open = this.#open;
    if (open && open.used + size <= open.buffer.size) {
      const offset = open.used;
      open.used = Math.min(open.buffer.size, offset + rangeBytes(size));
      return { buffer: open.buffer, offset, size };
    }
    return { buffer: storageBuffer(this.gpu, label, size), offset: 0, size };
  }

  /** Memory that holds `data`, a multiple of four bytes. */
  keep(label: string, data: ArrayBufferView<ArrayBuffer>): Range {
    const range = this.take(label, data.byteLength);
    this.gpu.device.queue.writeBuffer(range.buffer, range.offset, data);
    return range;
  }
}
