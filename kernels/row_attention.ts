/**
 * Rotary, append to the KV cache and attention of one row in one dispatch.
 *
 * Knows its bindings, its grid, what shapes it is good for, and the layout of a KV block (see
 * `rotary_append`). The row's keys before it are in the cache: of several rows of a sequence, none
 * would see the others.
 */
import { compileKernel, defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import code from "./row_attention.wgsl" with { type: "text" };

export interface RowAttentionShape {
  heads: number;
  headDim: number;
  /** Tokens in a KV block. */
  block: number;
}

const HEADS_PER_WORKGROUP = 2;
const THREADS = 256;
const SOFTWARE_THREADS = 64;

const BINDINGS = {
  rows: "read",
  tables: "read",
  angles: "read",
  qkv: "read",
  kv: "read_write",
  partial: "read_write",
  peaks: "read_write",
  step: "uniform",
  // Not read here: what the next kernel reads, so that one barrier serves both; see gptq_gemv.ts.
  early: "read",
} as const;

const source = (headDim: number) => {
  const octets = Array.from({ length: headDim / 8 }, (_, i) => i);
  return defineKernel({
    name: `row_attention, heads of ${headDim}`,
    code: `const HEAD_DIM = ${headDim}u;\n` + code + `
// An octet of a key times those of both queries.
fn scored(i: u32, key: vec4<u32>) -> vec2<f32> {
  let a = low(key);
  let b = high(key);
  return vec2(
    dot(a, vectors[2u * i]) + dot(b, vectors[2u * i + 1u]),
    dot(a, vectors[2u * (OCTETS + i)]) + dot(b, vectors[2u * (OCTETS + i) + 1u]),
  );
}

fn score(at: u32) -> vec2<f32> {
  ${octets.map((i) => `let k${i} = kv[at + ${i}u];`).join("\n  ")}
  return ${octets.map((i) => `scored(${i}u, k${i})`).join(" + ")};
}

fn own_score() -> vec2<f32> {
  return ${octets.map((i) => `scored(${i}u, own[${i}u])`).join(" + ")};
}
`,
    bindings: BINDINGS,
  });
};

/** Whether this GPU can do it for a model of this shape. */
export function canAttendRow(gpu: Gpu, { headDim }: RowAttentionShape): boolean {
  const { limits } = gpu.device;
  const storage = Object.values(BINDINGS).filter((access) => access !== "uniform");
  const threads = gpu.software ? SOFTWARE_THREADS : THREADS;
  const floats = 4 * headDim + headDim + 2 * threads + 64 + 16 * threads + 2 * threads;
  return headDim % 8 === 0 && headDim <= 128 && threads >= headDim / 4 &&
    limits.maxComputeInvocationsPerWorkgroup >= threads &&
    limits.maxStorageBuffersPerShaderStage >= storage.length &&
    limits.maxComputeWorkgroupStorageSize >= 4 * floats;
}

/**
 * `partial` gets (splits, heads, headDim) sums of values, `peaks` (splits, heads) pairs of maximum
 * and weight, where `canAttendRow`; dispatch(splits).
 */
export function rowAttention(gpu: Gpu, { heads, headDim, block }: RowAttentionShape) {
  return compileKernel(gpu, source(headDim), {
    HEADS: heads,
    BLOCK: block,
    SCALE: 1 / Math.sqrt(headDim),
    THREADS: gpu.software ? SOFTWARE_THREADS : THREADS,
  }, (splits: number) => [splits, Math.ceil(heads / HEADS_PER_WORKGROUP)]);
}
