/**
 * A quantised matrix on the GPU: GPTQ tensors in, slices that kernels can bind out.
 *
 * Knows how a matrix's inputs are sorted by group (act-order) and its outputs reordered for the
 * next matrix. Knows nothing of the model around it.
 */
import { storageBuffer, storageFrom, uniformFrom } from "../gpu/buffer.ts";
import { type Gpu, GpuError } from "../gpu/device.ts";
import { Readback } from "../gpu/readback.ts";
import { gptqRepack, packGroups } from "../kernels/gptq_repack.ts";
import type { Checkpoint } from "./checkpoint/checkpoint.ts";
import type { Linear } from "./checkpoint/falcon_tensors.ts";
import { toFloat16Bits, toFloat32 } from "./checkpoint/floats.ts";
import { quote, wrong } from "./checkpoint/report.ts";
import type { TensorInfo } from "./checkpoint/safetensors.ts";
import type { Range, WeightHeap } from "./weight_heap.ts";

/** A run of a matrix's outputs (or of a table's rows) that one binding can show. */
export interface Slice {
  range: Range;
  first: number;
  count: number;
  /** (first, count) as the kernels' `slice` uniform. */
  uniform: GPUBuffer;
}

export interface LinearWeights {
  bits: number;
  inFeatures: number;
  outFeatures: number;
  groupSize: number;
  /** Together (outFeatures, inFeatures * bits / 32) words. */
  slices: Slice[];
  /** (outFeatures, groups): half-precision scale and zero. */
  groups: Range;
  /** (outFeatures) float32, zeros when the checkpoint has none. */
  bias: Range;
}

const CHUNK_BYTES = 16 * 2 ** 20;
/** Host memory in flight: uploads are copies until the GPU has taken them. */
const UNSYNCED_BYTES = 4 * CHUNK_BYTES;

/** Cuts `rows` rows of `rowBytes` bytes into ranges that one binding can show. */
export function createSlices(
  gpu: Gpu,
  heap: WeightHeap,
  label: string,
  rows: number,
  rowBytes: number,
): Slice[] {
  // A multiple of 32 rows: outputs leave in chunks of 32.
  const each = Math.max(32, Math.floor(heap.largest / rowBytes / 32) * 32);
  return Array.from({ length: Math.ceil(rows / each) }, (_, i) => {
    const first = i * each;
    const count = Math.min(each, rows - first);
    return {
      range: heap.take(`${label} ${first}`, count * rowBytes),
      first,
      count,
      uniform: uniformFrom(gpu, `${label} slice`, new Uint32Array([first, count])),
    };
  });
}

/** Reads tensors through one reused chunk and keeps the uploads in flight small. */
export class Uploader {
  readonly chunk = new Uint8Array(CHUNK_BYTES);
  #staging: GPUBuffer;
  #unsynced = 0;

  private constructor(
    readonly gpu: Gpu,
    readonly checkpoint: Checkpoint,
    readonly heap: WeightHeap,
    private readonly barrier: Readback,
    private readonly onBytes: (bytes: number) => void,
  ) {
    const bytes = Math.min(CHUNK_BYTES, gpu.maxBindingBytes);
    this.#staging = storageBuffer(gpu, "staged weights", bytes);
  }

  static async create(
    gpu: Gpu,
    checkpoint: Checkpoint,
    heap: WeightHeap,
    onBytes: (bytes: number) => void,
  ): Promise<Uploader> {
    const barrier = await Readback.create(gpu, "upload done", 4);
    return new Uploader(gpu, checkpoint, heap, barrier, onBytes);
  }

  /** A small tensor as float32. */
  async float32(label: string, tensor: TensorInfo): Promise<Range> {
    const bytes = await this.checkpoint.read(tensor);
    await this.sent(bytes.byteLength);
    return this.heap.keep(label, finiteFloats(tensor, bytes));
  }

  /**
   * Uploads one matrix. `perm` sorts its inputs by group; `columns` names the source of each
   * output, so that the outputs come out in the order the next matrix wants its inputs.
   *
   * @throws {GpuError} when not even one packed row of the file fits a binding.
   */
  async linear(
    tensors: Linear,
    bits: number,
    groupSize: number,
    perm: Uint32Array<ArrayBuffer>,
    columns: Uint32Array<ArrayBuffer>,
  ): Promise<LinearWeights> {
    const { gpu, checkpoint, heap } = this;
    const { name, inFeatures, outFeatures } = tensors;
    const slices = createSlices(gpu, heap, name, outFeatures, inFeatures * bits / 8);
    await this.#repack(tensors, bits, slices, perm, columns);

    const scales = halves(tensors.scales, await checkpoint.read(tensors.scales));
    const qzeros = new Uint32Array((await checkpoint.read(tensors.qzeros)).buffer);
    const zeroOffset = checkpoint.quantization.zeroOffset;
    const { groups } = tensors;
    const packed = packGroups({ bits, groups, outFeatures, scales, qzeros, zeroOffset, columns });
    const bias = tensors.bias
      ? finiteFloats(tensors.bias, await checkpoint.read(tensors.bias))
      : new Float32Array(outFeatures);
    await this.sent(tensors.scales.bytes + tensors.qzeros.bytes + (tensors.bias?.bytes ?? 0));
    return {
      bits,
      inFeatures,
      outFeatures,
      groupSize: groupSize || inFeatures,
      slices,
      groups: heap.keep(`${name} groups`, packed),
      bias: heap.keep(`${name} bias`, Float32Array.from(columns, (column) => bias[column])),
    };
  }

  async #repack(
    { name, qweight, inFeatures, outFeatures }: Linear,
    bits: number,
    slices: Slice[],
    perm: Uint32Array<ArrayBuffer>,
    columns: Uint32Array<ArrayBuffer>,
  ): Promise<void> {
    const { gpu } = this;
    const kernel = await gptqRepack(gpu, { bits, inFeatures, outFeatures });
    const permBuffer = storageFrom(gpu, "act-order", perm);
    const columnsBuffer = storageFrom(gpu, "columns", columns);
    const rowBytes = outFeatures * 4;
    const rowsAtOnce = Math.floor(this.#staging.size / rowBytes);
    if (rowsAtOnce === 0) {
      throw new GpuError(
        `A row of ${name} has ${rowBytes} bytes, which do not fit a binding of ${this.#staging.size}.`,
      );
    }
    const chunk = this.chunk.subarray(0, rowsAtOnce * rowBytes);
    const temporary = [permBuffer, columnsBuffer];
    for await (const { bytes, offset } of this.checkpoint.chunks(qweight, chunk)) {
      gpu.device.queue.writeBuffer(this.#staging, 0, bytes);
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const slice of slices) {
        const place = [offset / rowBytes, bytes.byteLength / rowBytes, slice.first, slice.count];
        const uniform = uniformFrom(gpu, "staged rows", new Uint32Array(place));
        temporary.push(uniform);
        kernel.bind({
          staged: this.#staging,
          perm: permBuffer,
          columns: columnsBuffer,
          weight: slice.range,
          chunk: uniform,
        }).dispatch(pass, slice.count);
      }
      pass.end();
      gpu.device.queue.submit([encoder.finish()]);
      await this.sent(bytes.byteLength);
    }
    temporary.forEach((buffer) => gpu.freeBuffer(buffer));
  }

  /** Counts bytes on their way, and waits for the GPU when there are too many. */
  async sent(bytes: number): Promise<void> {
    this.onBytes(bytes);
    this.#unsynced += bytes;
    if (this.#unsynced >= UNSYNCED_BYTES) await this.finish();
  }

  /** Waits until the GPU has everything. @throws {GpuError} when it refused something. */
  async finish(): Promise<void> {
    this.#unsynced = 0;
    this.gpu.device.queue.submit([]);
    await this.barrier.read(4);
  }

  free(): void {
    this.gpu.freeBuffer(this.#staging);
    this.barrier.free();
  }
}

/**
 * Values of a tensor as the bits of half-precision numbers.
 *
 * @throws {CheckpointError} naming the tensor, for NaN, infinity and what half precision cannot hold.
 */
export function halves(
  tensor: TensorInfo,
  bytes: Uint8Array<ArrayBuffer>,
): Uint16Array<ArrayBuffer> {
  let bits: Uint16Array<ArrayBuffer> | undefined;
  try {
    bits = toFloat16Bits(bytes, tensor.dtype);
  } catch (error) {
    // It says which value is too large, but cannot know whose: that is found below.
    if (!(error instanceof RangeError)) throw error;
  }
  if (bits && !hasNonFinite(bits)) return bits;
  throw notFinite(tensor, toFloat32(bytes, tensor.dtype), "within half precision (to 65504)");
}

/** A loop, since it runs over every value of the embedding. */
function hasNonFinite(bits: Uint16Array): boolean {
  for (let i = 0; i < bits.length; i++) if ((bits[i] & 0x7c00) === 0x7c00) return true;
  return false;
}

/** @throws {CheckpointError} naming the tensor, for NaN and infinity. */
function finiteFloats(tensor: TensorInfo, bytes: Uint8Array<ArrayBuffer>) {
  const values = toFloat32(bytes, tensor.dtype);
  if (values.every(Number.isFinite)) return values;
  throw notFinite(tensor, values, "finite numbers");
}

function notFinite({ path, name }: TensorInfo, values: Float32Array, expected: string) {
  const found = values.find((value) => !Number.isFinite(value)) ??
    values.find((value) => !Number.isFinite(Math.f16round(value)));
  return wrong(path, `tensor ${quote(name)}`, expected, `${found}`);
}
