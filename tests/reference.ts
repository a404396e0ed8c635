/**
 * Falcon in plain TypeScript and float64: the oracle that every kernel and path is tested against.
 *
 * Knows the transformer and nothing else: files are `reference_checkpoint.ts`, choosing tokens other
 * than the best is `reference_sampling.ts`. Written to be read beside the paper, not to be fast; the
 * loops run along rows, so that one full-width layer with its head takes about half a second a token.
 *
 * Shapes: T new tokens, S tokens so far, D hidden, H heads, d head size, F feed-forward, V vocabulary.
 * A [T, D] matrix is an array of T rows.
 */

import {
  type Config,
  type Layer,
  type Linear,
  loadWeights,
  type Norm,
  type Weights,
} from "./reference_checkpoint.ts";

/** Rotated keys and values of the tokens so far, per layer: [S, d] each (one KV head). */
export interface KvCache {
  keys: Float64Array[];
  values: Float64Array[];
}

/** Loads a checkpoint folder; see `loadWeights` for what is accepted and thrown. */
export async function loadReference(dir: string): Promise<Reference> {
  return new Reference(await loadWeights(dir));
}

export class Reference {
  constructor(readonly weights: Weights) {}

  get config(): Config {
    return this.weights.config;
  }

  newCache(): KvCache[] {
    return this.weights.layers.map(() => ({ keys: [], values: [] }));
  }

  /**
   * Logits [T, V] of `ids`, which follow the tokens in `cache` and are appended to it.
   * With `last`, only the last row is computed and returned.
   */
  forward(ids: number[], { cache = this.newCache(), last = false } = {}): Float64Array[] {
    const { embedding, finalNorm, config } = this.weights;
    const rows = this.hidden(ids, cache);
    return (last ? rows.slice(-1) : rows).map((x) =>
      head(layerNorm(x, finalNorm, config.epsilon), embedding)
    );
  }

  /** The residual stream [T, D] after the last layer, before the final LayerNorm. */
  hidden(ids: number[], cache: KvCache[] = this.newCache()): Float64Array[] {
    const { embedding, layers, config } = this.weights;
    let x = ids.map((id) => { // [T, D]
      if (!(id >= 0 && id < config.vocab)) throw new Error(`token id ${id} of ${config.vocab}`);
      return Float64Array.from(embedding.subarray(id * config.hidden, (id + 1) * config.hidden));
    });
    layers.forEach((layer, i) => x = block(x, layer, cache[i]!, config));
    return x;
  }

  /** The n best next tokens, one after the other, and how far each led the runner-up. */
  greedy(ids: number[], n: number): { tokens: number[]; margins: number[] } {
    const cache = this.newCache(), tokens: number[] = [], margins: number[] = [];
    let next = ids;
    while (tokens.length < n) {
      const logits = this.forward(next, { cache, last: true })[0]!;
      const best = logits.indexOf(max(logits));
      tokens.push(best);
      margins.push(logits[best]! - max(logits.filter((_, id) => id !== best)));
      next = [best];
    }
    return { tokens, margins };
  }

  /** Mean natural-log probability of ids[1..] given what precedes each; NaN for a single id. */
  meanLogprob(ids: number[]): number {
    const logits = this.forward(ids.slice(0, -1));
    const sum = logits.reduce((s, row, t) => s + logSoftmax(row)[ids[t + 1]!]!, 0);
    return sum / logits.length;
  }
}

/** One layer: x + dense(attention(LN x)) + down(gelu(up(LN x))), [T, D] -> [T, D]. */
export function block(x: Float64Array[], layer: Layer, cache: KvCache, config: Config) {
  const normed = x.map((row) => layerNorm(row, layer.norm, config.epsilon)); // [T, D]
  const qkv = linear(normed, layer.queryKeyValue); // [T, (H + 2) d]
  const attended = linear(attention(qkv, cache, config), layer.dense); // [T, D]
  const inner = linear(normed, layer.up).map((row) => row.map(gelu)); // [T, F]
  const fed = linear(inner, layer.down); // [T, D]
  return x.map((row, t) => row.map((value, i) => value + attended[t]![i]! + fed[t]![i]!));
}

/**
 * Causal multi-query attention: H query heads, one key and one value head, [T, (H + 2) d] -> [T, D].
 * Appends each row's rotated key and its value to the cache before that row attends.
 */
export function attention(qkv: Float64Array[], cache: KvCache, config: Config): Float64Array[] {
  const { heads, headDim: d, ropeTheta } = config;
  return qkv.map((row) => {
    const position = cache.keys.length;
    cache.keys.push(rotary(row.subarray(heads * d, (heads + 1) * d), position, ropeTheta));
    cache.values.push(row.slice((heads + 1) * d));
    const out = new Float64Array(heads * d);
    for (let h = 0; h < heads; h++) {
      const query = rotary(row.subarray(h * d, (h + 1) * d), position, ropeTheta); // [d]
      const scores = cache.keys.map((key) => dot(query, key) / Math.sqrt(d)); // [S]
      const mixed = out.subarray(h * d, (h + 1) * d); // [d]
      softmax(scores).forEach((p, s) => addScaled(mixed, p, cache.values[s]!));
    }
    return out;
  });
}

/** Rotary embedding, NeoX pairing: dims i and i + d/2 turn by position * theta^(-2i/d). [d] -> [d] */
export function rotary(x: Float64Array, position: number, theta: number): Float64Array {
  const half = x.length / 2, out = new Float64Array(x.length);
  for (let i = 0; i < half; i++) {
    const angle = position * theta ** (-i / half);
    const cos = Math.cos(angle), sin = Math.sin(angle);
    out[i] = x[i]! * cos - x[i + half]! * sin;
    out[i + half] = x[i + half]! * cos + x[i]! * sin;
  }
  return out;
}

/** (x - mean) / sqrt(variance + epsilon) * weight + bias, variance over all D. [D] -> [D] */
export function layerNorm(x: Float64Array, norm: Norm, epsilon: number): Float64Array {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  const scale = 1 / Math.sqrt(variance + epsilon);
  return x.map((value, i) => (value - mean) * scale * norm.weight[i]! + norm.bias[i]!);
}

/** x Φ(x), with the exact error function (Falcon does not use the tanh form). */
export function gelu(x: number): number {
  return x / 2 * (1 + erf(x / Math.SQRT2));
}

/**
 * Error function to about 1e-15: erf(x) = 2/√π e^(-x²) Σ 2ⁿ x^(2n+1) / (1·3·…·(2n+1))
 * (Abramowitz & Stegun 7.1.6). Every term has the same sign, so nothing cancels.
 */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x); // 1 - erf(6) is 2e-17
  let term = x, sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= 2 * x * x / (2 * n + 1);
    sum += term;
  }
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}

/** exp(x) / Σ exp(x), shifted by the largest value. Removed entries (-Infinity) get 0. */
export function softmax(x: ArrayLike<number>): Float64Array {
  const top = max(x);
  const powers = Float64Array.from(x, (value) => Math.exp(value - top));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** x - log Σ exp(x). Removed entries stay -Infinity. */
export function logSoftmax(x: ArrayLike<number>): Float64Array {
  const top = max(x);
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += Math.exp(x[i]! - top);
  return Float64Array.from(x, (value) => value - top - Math.log(sum));
}

/** x [T, K] times the dequantised weight [K, N], plus bias: [T, N]. One weight row at a time. */
export function linear(x: Float64Array[], weight: Linear): Float64Array[] {
  const { inFeatures, outFeatures, bias } = weight;
  const out = x.map(() => bias ? bias.slice() : new Float64Array(outFeatures));
  const row = new Float64Array(outFeatures);
  for (let k = 0; k < inFeatures; k++) {
    dequantizeRow(weight, k, row);
    for (let t = 0; t < x.length; t++) addScaled(out[t]!, x[t]![k]!, row);
  }
  return out;
}

/** Writes weight[k, :] into `out` [N]; exact for every scale type. */
export function dequantizeRow(weight: Linear, k: number, out: Float64Array): void {
  const { bits, qweight, scales, zeros, group, outFeatures } = weight;
  const perWord = 32 / bits, mask = 2 ** bits - 1;
  const shift = bits * (k % perWord);
  const words = Math.floor(k / perWord) * outFeatures; // start of the row that holds k
  const start = group[k]! * outFeatures; // start of k's group
  for (let n = 0; n < outFeatures; n++) {
    const q = (qweight[words + n]! >>> shift) & mask;
    out[n] = scales[start + n]! * (q - zeros[start + n]!);
  }
}

/** The whole weight [K, N] in float32: exact when scales are f16 or bf16 (11 + 9 bits fit in 24). */
export function dequantize(weight: Linear): Float32Array {
  const { inFeatures, outFeatures } = weight;
  const out = new Float32Array(inFeatures * outFeatures), row = new Float64Array(outFeatures);
  for (let k = 0; k < inFeatures; k++) {
    dequantizeRow(weight, k, row);
    out.set(row, k * outFeatures);
  }
  return out;
}

/** Logits [V] of one normed row [D]: its dot product with every row of the tied embedding [V, D]. */
export function head(x: Float64Array, embedding: Float16Array | Float32Array): Float64Array {
  const logits = new Float64Array(embedding.length / x.length);
  for (let v = 0; v < logits.length; v++) {
    const start = v * x.length;
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += x[i]! * embedding[start + i]!;
    logits[v] = sum;
  }
  return logits;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function addScaled(out: Float64Array, factor: number, row: Float64Array): void {
  for (let n = 0; n < out.length; n++) out[n]! += factor * row[n]!;
}

function max(x: ArrayLike<number>): number {
  let best = -Infinity;
  for (let i = 0; i < x.length; i++) if (x[i]! > best) best = x[i]!;
  return best;
}
