/**
 * Falcon's weights on the GPU, each in the order its readers and writers agree on.
 *
 * Knows which matrix's permutation is folded into which neighbour. Knows nothing of files beyond
 * the checkpoint it is given, and nothing of how the weights are used.
 *
 * Act-order: a GPTQ matrix with act-order wants its inputs in another order. Sorting them costs
 * nothing at run time when whoever writes those inputs writes them sorted:
 *
 *   LN        -> qkv, up     layer norm writes permuted copies (one, when both want the same order)
 *   attention -> dense       attention writes its outputs in the order that `dense` wants
 *   up        -> down        the outputs of `up` are reordered at load
 */
import type { Gpu } from "../gpu/device.ts";
import { actOrderPermutation, samePermutation } from "./checkpoint/act_order.ts";
import type { Checkpoint } from "./checkpoint/checkpoint.ts";
import { type FalconTensors, type Linear, type Norm } from "./checkpoint/falcon_tensors.ts";
import { createSlices, halves, type LinearWeights, type Slice, Uploader } from "./linear.ts";
import { type Range, rangeBytes, WeightHeap } from "./weight_heap.ts";

export interface NormWeights {
  weight: Range; // (hidden)
  bias: Range; // (hidden)
}

export interface LayerWeights {
  norm: NormWeights;
  qkv: LinearWeights; // (heads + 2) * head dim by hidden
  dense: LinearWeights; // hidden by hidden
  up: LinearWeights; // ffn by hidden
  down: LinearWeights; // hidden by ffn
  /** Order of the normalised inputs that `qkv` reads, (hidden). */
  qkvOrder: Range;
  /** The same for `up`. */
  upOrder: Range;
  /** Whether these two are equal, so that one normalised copy serves both. */
  oneOrder: boolean;
  /** The same for `dense`, which reads attention's outputs. */
  denseOrder: Range;
}

/** Some layers whose weights lie in one buffer, every layer's parts in the same places. */
export interface Arena {
  buffer: GPUBuffer;
  /** Bytes of one layer. */
  layerBytes: number;
  first: number;
  count: number;
}

export interface FalconWeights {
  /** (vocab, hidden) half precision: the embedding and, tied to it, the head. */
  embedding: Slice[];
  layers: LayerWeights[];
  finalNorm: NormWeights;
  /** All layers, in order; none when each tensor has a buffer of its own. */
  arenas: Arena[];
}

export type Progress = (done: number, total: number) => void;

/**
 * Uploads every weight; host memory stays at a few chunks.
 *
 * @param wantsArenas whether layers should lie together, where the GPU can show them so
 * @throws {CheckpointError} for a file that contradicts itself.
 * @throws {GpuError} when the GPU refuses a buffer.
 */
export async function loadWeights(
  gpu: Gpu,
  checkpoint: Checkpoint,
  tensors: FalconTensors,
  onProgress: Progress = () => {},
  wantsArenas = false,
): Promise<FalconWeights> {
  const total = totalBytes(tensors);
  let done = 0;
  const heap = new WeightHeap(gpu, wantsArenas);
  const uploader = await Uploader.create(gpu, checkpoint, heap, (bytes) => {
    done += bytes;
    onProgress(Math.min(done, total), total);
  });
  const embedding = await loadEmbedding(uploader, tensors);
  const layers: LayerWeights[] = [];
  const arenas: Arena[] = [];
  for (const { first, count } of arenaCuts(heap, checkpoint, tensors)) {
    const layerBytes = layerBytesOf(checkpoint, tensors.layers[first]);
    await heap.open(`layers from ${first}`, count * layerBytes);
    for (const layer of tensors.layers.slice(first, first + count)) {
      layers.push(await loadLayer(uploader, layer));
    }
    const { buffer } = layers[first].norm.weight;
    arenas.push({ buffer, layerBytes, first, count });
  }
  heap.close();
  const finalNorm = await loadNorm(uploader, "final norm", tensors.finalNorm);
  await uploader.finish();
  uploader.free();
  onProgress(total, total);
  return { embedding, layers, finalNorm, arenas: heap.arenas ? arenas : [] };
}

/** Which layers lie together: as few arenas as there can be, and as equal. */
function arenaCuts(heap: WeightHeap, checkpoint: Checkpoint, { layers }: FalconTensors) {
  const most = Math.floor(heap.largest / layerBytesOf(checkpoint, layers[0]));
  const arenas = Math.ceil(layers.length / Math.max(1, most));
  const each = Math.ceil(layers.length / arenas);
  return Array.from({ length: Math.ceil(layers.length / each) }, (_, i) => ({
    first: i * each,
    count: Math.min(each, layers.length - i * each),
  }));
}

/** Bytes that `loadLayer` takes. */
function layerBytesOf({ quantization: { bits } }: Checkpoint, tensors: FalconTensors["layers"][0]) {
  const { qkv, dense, up, down } = tensors;
  const linears = [qkv, dense, up, down].flatMap(({ inFeatures, outFeatures, groups }) => [
    inFeatures * outFeatures * bits / 8,
    groups * outFeatures * 4,
    outFeatures * 4,
  ]);
  const vectors = Array(5).fill(qkv.inFeatures * 4); // norm, orders
  return [...linears, ...vectors].reduce((sum, bytes) => sum + rangeBytes(bytes), 0);
}

async function loadLayer(
  uploader: Uploader,
  tensors: FalconTensors["layers"][number],
): Promise<LayerWeights> {
  const { checkpoint, heap } = uploader;
  const { bits, groupSize } = checkpoint.quantization;
  const { qkv, dense, up, down } = tensors;
  const qkvPerm = await readPermutation(checkpoint, qkv);
  const upPerm = await readPermutation(checkpoint, up);
  const densePerm = await readPermutation(checkpoint, dense);
  const downPerm = await readPermutation(checkpoint, down);
  const load = (
    linear: Linear,
    perm: Uint32Array<ArrayBuffer>,
    columns = natural(linear.outFeatures),
  ) => uploader.linear(linear, bits, groupSize, perm, columns);
  return {
    norm: await loadNorm(uploader, "norm", tensors.norm),
    qkv: await load(qkv, qkvPerm),
    dense: await load(dense, densePerm),
    up: await load(up, upPerm, downPerm),
    down: await load(down, downPerm),
    qkvOrder: heap.keep("qkv order", qkvPerm),
    upOrder: heap.keep("up order", upPerm),
    oneOrder: samePermutation(qkvPerm, upPerm),
    denseOrder: heap.keep("dense order", densePerm),
  };
}

async function readPermutation(
  checkpoint: Checkpoint,
  linear: Linear,
): Promise<Uint32Array<ArrayBuffer>> {
  const gIdx = linear.gIdx && new Int32Array((await checkpoint.read(linear.gIdx)).buffer);
  return actOrderPermutation(gIdx, linear, checkpoint.quantization.groupSize);
}

async function loadNorm(
  uploader: Uploader,
  label: string,
  norm: Norm,
): Promise<NormWeights> {
  return {
    weight: await uploader.float32(`${label} weight`, norm.weight),
    bias: await uploader.float32(`${label} bias`, norm.bias),
  };
}

async function loadEmbedding(uploader: Uploader, { embedding }: FalconTensors): Promise<Slice[]> {
  const { gpu, checkpoint, heap } = uploader;
  const [vocab, hidden] = embedding.shape;
  const rowBytes = embedding.bytes / vocab;
  const slices = createSlices(gpu, heap, "embedding", vocab, hidden * 2);
  const chunk = uploader.chunk.subarray(
    0,
    uploader.chunk.length - uploader.chunk.length % rowBytes,
  );
  for (const { range, first, count } of slices) {
    const start = first * rowBytes;
    const end = (first + count) * rowBytes;
    for await (const { bytes, offset } of checkpoint.chunks(embedding, chunk, start, end)) {
      const half = halves(embedding, bytes);
      const at = ((offset - start) / rowBytes) * hidden * 2;
      gpu.device.queue.writeBuffer(range.buffer, range.offset + at, half);
      await uploader.sent(bytes.byteLength);
    }
  }
  return slices;
}

function natural(length: number): Uint32Array<ArrayBuffer> {
  return Uint32Array.from({ length }, (_, i) => i);
}

function totalBytes({ embedding, finalNorm, layers }: FalconTensors): number {
  const norm = ({ weight, bias }: Norm) => weight.bytes + bias.bytes;
  const linear = ({ qweight, qzeros, scales, bias }: Linear) =>
    qweight.bytes + qzeros.bytes + scales.bytes + (bias?.bytes ?? 0);
  return embedding.bytes + norm(finalNorm) + layers.reduce(
    (sum, layer) =>
      sum + norm(layer.norm) + linear(layer.qkv) + linear(layer.dense) + linear(layer.up) +
      linear(layer.down),
    0,
  );
}
