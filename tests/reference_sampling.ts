/**
 * Hugging Face's logits processors in float64 and in their order: the oracle for sampling.
 *
 * Knows how logits become the distribution a token is drawn from. Draws nothing, and knows no model.
 * Each step maps scores [V] to scores [V], writing -Infinity where it removes a token.
 */

import { logSoftmax, softmax } from "./reference.ts";

/** Names and meanings as in Hugging Face's generation config; an absent field is switched off. */
export interface SamplingParams {
  /** Added to the logits of single ids before anything else (Hugging Face's sequence bias). */
  logit_bias?: Record<number, number>;
  repetition_penalty?: number;
  /** Times the number of generated occurrences, or the share of the context (TGI); see scope. */
  frequency_penalty?: number;
  frequency_scope?: "output" | "context";
  /** Once from every id already generated. */
  presence_penalty?: number;
  /** 0 means greedy: only the penalties apply. */
  temperature?: number;
  top_k?: number;
  top_p?: number;
  min_p?: number;
  typical_p?: number;
}

export interface Processed {
  /** Probability of each token that can be drawn. Greedy: the best id alone, the lowest of ties. */
  kept: Map<number, number>;
  /** Log-softmax [V] after all steps, -Infinity where removed. Greedy: after the penalties. */
  logprobs: Float64Array;
}

/**
 * Runs every step on one row of logits [V].
 *
 * @param context prompt and generated ids; the repetition penalty covers all of them
 * @param generated the generated ids alone; frequency and presence penalties count these
 */
export function processLogits(
  logits: ArrayLike<number>,
  params: SamplingParams,
  context: number[],
  generated: number[] = [],
): Processed {
  const { temperature = 1, top_k = 0, top_p = 1, min_p = 0, typical_p = 1 } = params;
  const biased = Float64Array.from(logits, (logit, id) => logit + (params.logit_bias?.[id] ?? 0));
  let scores = penalise(biased, params, context, generated);
  if (temperature === 0) {
    const best = scores.reduce((best, score, id) => score > scores[best]! ? id : best, 0);
    return { kept: new Map([[best, 1]]), logprobs: logSoftmax(scores) };
  }
  scores = scores.map((score) => score / temperature);
  if (top_k > 0) scores = topK(scores, top_k);
  if (top_p < 1) scores = topP(scores, top_p);
  if (min_p > 0) scores = minP(scores, min_p);
  if (typical_p < 1) scores = typical(scores, typical_p);

  const kept = new Map<number, number>();
  softmax(scores).forEach((p, id) => scores[id]! > -Infinity && kept.set(id, p));
  return { kept, logprobs: logSoftmax(scores) };
}

/** Repetition: s < 0 ? s * p : s / p, once an id. Then minus frequency * count and presence. */
function penalise(
  scores: Float64Array,
  params: SamplingParams,
  context: number[],
  generated: number[],
): Float64Array {
  const { repetition_penalty: r = 1, frequency_penalty = 0, presence_penalty = 0 } = params;
  for (const id of new Set(context)) {
    scores[id] = scores[id]! < 0 ? scores[id]! * r : scores[id]! / r;
  }

  const wholeContext = params.frequency_scope === "context";
  const counted = wholeContext ? context : generated;
  const step = frequency_penalty / (wholeContext ? context.length : 1);
  for (const id of counted) scores[id]! -= step;
  for (const id of new Set(generated)) scores[id]! -= presence_penalty;
  return scores;
}

/** Drops scores below the k-th largest; ties with it stay. */
function topK(scores: Float64Array, k: number): Float64Array {
  const kth = scores.toSorted().at(-Math.min(k, scores.length))!;
  return scores.map((score) => score < kth ? -Infinity : score);
}

/**
 * Least probable first (of equal scores the lower id), drops while the running sum is at most 1 - p;
 * the best always stays.
 */
function topP(scores: Float64Array, p: number): Float64Array {
  const probabilities = softmax(scores), out = scores.slice();
  const ascending = idsBy((id) => scores[id]!, scores.length);
  let sum = 0;
  for (const id of ascending.slice(0, -1)) {
    sum += probabilities[id]!;
    if (sum > 1 - p) break;
    out[id] = -Infinity;
  }
  return out;
}

/** Drops tokens less than `p` times as probable as the best. */
function minP(scores: Float64Array, p: number): Float64Array {
  const probabilities = softmax(scores);
  const least = p * probabilities.reduce((a, b) => Math.max(a, b));
  return scores.map((score, id) => probabilities[id]! < least ? -Infinity : score);
}

/**
 * Locally typical: with surprise -log p and entropy H = Σ p · -log p, keeps the tokens of smallest
 * |surprise - H| up to the one whose running sum of p reaches the mass; ties with that one stay.
 */
function typical(scores: Float64Array, mass: number): Float64Array {
  const logprobs = logSoftmax(scores);
  const probabilities = logprobs.map(Math.exp);
  const entropy = probabilities.reduce((sum, p, id) => p > 0 ? sum - p * logprobs[id]! : sum, 0);
  const distance = logprobs.map((logprob) => Math.abs(-logprob - entropy));
  const order = idsBy((id) => distance[id]!, scores.length);
  let sum = 0;
  const last = order.find((id) => (sum += probabilities[id]!) >= mass) ?? order.at(-1)!;
  return scores.map((score, id) => distance[id]! > distance[last]! ? -Infinity : score);
}

/** Ids 0 to n - 1 by ascending key; equal keys stay in order of id. */
function idsBy(key: (id: number) => number, n: number): number[] {
  // Two infinite keys would subtract to NaN, so they are compared.
  return Array.from({ length: n }, (_, id) => id).sort((a, b) =>
    key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0
  );
}
