/**
 * Some transformer layers for one row in one dispatch, by as many workgroups as the GPU runs at once.
 *
 * Knows the bindings, what each workgroup's share is, and how many threads work together on what.
 * Knows nothing of how many workgroups are run at once: whoever dispatches it has seen them meet.
 */
import type { Gpu } from "../gpu/device.ts";
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import { DECODE_ATTENTION } from "./decode_attention.ts";
import { decodeMatrix } from "./decode_matrix.ts";
import { DECODE_VECTORS } from "./decode_vectors.ts";
import { type Share, shares } from "./decode_shares.ts";
import { GELU } from "./gelu.ts";
import { GRID_BARRIER } from "./grid_barrier.ts";
import code from "./decode_layers.wgsl" with { type: "text" };

/** Where the parts of a layer lie in the layer's weights, in 16 bytes; see the WGSL. */
export interface LayerPlaces {
  qkvAt: number;
  upAt: number;
  downAt: number;
  denseAt: number;
  qkvGroups: number;
  upGroups: number;
  downGroups: number;
  denseGroups: number;
  qkvBias: number;
  upBias: number;
  downBias: number;
  denseBias: number;
  qkvOrder: number;
  upOrder: number;
  denseOrder: number;
  normWeight: number;
  normBias: number;
}

export interface LayersShape {
  bits: number;
  hidden: number;
  ffn: number;
  heads: number;
  headDim: number;
  /** Tokens in a KV block. */
  block: number;
  epsilon: number;
  /** Inputs that share a scale: in down, and in the matrices that read the hidden state. */
  ffnGroup: number;
  hiddenGroup: number;
  /** Whether qkv and up read their inputs in one order, in every layer. */
  oneOrder: boolean;
  places: LayerPlaces;
  /** Of one layer's weights, in 16 bytes. */
  layerSize: number;
  /** Of one layer's keys and values, in 16 bytes. */
  kvSize: number;
}

const HEAD_DIM = 64;
/** Storage buffers of one dispatch. */
const BINDINGS = 12;

const source = (lanes: number, bits: number) =>
  defineKernel({
    name: `decode_layers, ${lanes} lanes, ${bits} bits`,
    code:
      [GELU, GRID_BARRIER, lanesTotal(lanes), code, DECODE_VECTORS, decodeMatrix(bits)].join("") +
      DECODE_ATTENTION,
    bindings: {
      weights: "read",
      shares: "read",
      rows: "read",
      tables: "read",
      angles: "read",
      kv: "read_write",
      meeting: "read_write",
      x: "read_write",
      qkv: "read_write",
      ffn: "read_write",
      mix: "read_write",
      mixWeights: "read_write",
    },
  });

/** `lanes_total(value)`: the sum over `lanes` neighbouring threads of a subgroup. */
function lanesTotal(lanes: number): string {
  const steps: string[] = [];
  for (let distance = lanes / 2; distance >= 1; distance /= 2) {
    steps.push(`  sum += subgroupShuffleXor(sum, ${distance}u);`);
  }
  return `
fn lanes_total(value: vec4<f32>) -> vec4<f32> {
  var sum = value;
${steps.join("\n")}
  return sum;
}
`;
}

/** Threads that work together, measured on an H200 at Falcon-7B's shapes; few in software. */
function geometry(gpu: Gpu) {
  return {
    THREADS: gpu.software ? 256 : 768,
    WIDTH: gpu.subgroupSize,
    LANES: Math.min(16, gpu.subgroupSize),
    DOWN_LANES: 64,
    DENSE_LANES: 64,
    ATTENTION: gpu.software ? 64 : 192,
    // Up to so many keys one run serves: more workgroups at work cost more to put together.
    KEYS_PER_RUN: gpu.software ? 64 : 256,
  };
}

/** Runs that a row's keys are cut in, at most: as many as all workgroups attend to at once. */
export function mostRuns(gpu: Gpu, { heads }: { heads: number }, workgroups: number): number {
  const atOnce = Math.floor(workgroups / Math.ceil(heads / 2));
  return Math.max(gpu.software ? 2 : 1, atOnce);
}

/** Meetings of one dispatch. */
export function meetings(layers: number): number {
  return 3 * layers - 1;
}

/** Why this GPU or a model of this shape cannot do it, or undefined. */
export function cannotDecodeLayers(
  gpu: Gpu,
  { hidden, ffn, headDim }: { hidden: number; ffn: number; headDim: number },
): string | undefined {
  const { limits } = gpu.device;
  if (!gpu.coherent) return "the GPU has no coherent buffers";
  if (gpu.subgroupSize < 8 || gpu.subgroupSize > 64) return "the GPU has no subgroups of 8 to 64";
  if (limits.maxStorageBuffersPerShaderStage < BINDINGS) return "the GPU binds too few buffers";
  if (limits.maxComputeInvocationsPerWorkgroup < 768) return "the GPU's workgroups are too small";
  if (headDim !== HEAD_DIM) return `a head has ${headDim} dimensions, not ${HEAD_DIM}`;
  if (hidden > 8 * geometry(gpu).THREADS) return "the model's hidden state is too long";
  if (hidden % 32 !== 0 || ffn % 64 !== 0) return "the model's sizes are no multiples of 32 and 64";
}

/**
 * Compiles the kernel for `layers` layers and so many workgroups; dispatch(workgroups).
 *
 * @throws {GpuError} when that takes more workgroup memory than the GPU has.
 */
export function decodeLayers(gpu: Gpu, shape: LayersShape, layers: number, workgroups: number) {
  const { places } = shape;
  const all = shares(shape, workgroups);
  const most = (of: (share: Share) => number) => Math.max(1, ...all.map(of));
  const threads = geometry(gpu);
  const runs = mostRuns(gpu, shape, workgroups);
  const constants = {
    ...threads,
    LAYERS: layers,
    LAYER_SIZE: shape.layerSize,
    QKV_AT: places.qkvAt,
    UP_AT: places.upAt,
    DOWN_AT: places.downAt,
    DENSE_AT: places.denseAt,
    QKV_GROUPS: places.qkvGroups,
    UP_GROUPS: places.upGroups,
    DOWN_GROUPS: places.downGroups,
    DENSE_GROUPS: places.denseGroups,
    QKV_BIAS: places.qkvBias,
    UP_BIAS: places.upBias,
    DOWN_BIAS: places.downBias,
    DENSE_BIAS: places.denseBias,
    QKV_ORDER: places.qkvOrder,
    UP_ORDER: places.upOrder,
    DENSE_ORDER: places.denseOrder,
    NORM_WEIGHT: places.normWeight,
    NORM_BIAS: places.normBias,
    KV_SIZE: shape.kvSize,
    HIDDEN: shape.hidden,
    FFN: shape.ffn,
    HEADS: shape.heads,
    BLOCK: shape.block,
    EPSILON: shape.epsilon,
    HIDDEN_GROUP: shape.hiddenGroup,
    FFN_GROUP: shape.ffnGroup,
    ONE_ORDER: shape.oneOrder ? 1 : 0,
    UP_QUADS: 8 * most(({ upUnits }) => upUnits),
    OUT_QUADS: most(({ outQuads }) => outQuads),
    UNITS: Math.ceil(Math.ceil(shape.heads / 2) * runs / workgroups),
    MOST_RUNS: runs,
  };
  return compileKernel(
    gpu,
    source(threads.LANES, shape.bits),
    constants,
    (groups: number) => [groups],
  );
}

/** Bytes of what the workgroups exchange, beside x. */
export function exchangeBytes({ hidden, ffn, heads, headDim }: LayersShape, runs: number) {
  const chunks = ffn / 32;
  return {
    qkv: (heads + 2) * headDim * 4,
    ffn: (4 * chunks + Math.ceil(chunks / 2)) * 16,
    mix: runs * hidden * 4,
    mixWeights: runs * heads * 8,
  };
}
