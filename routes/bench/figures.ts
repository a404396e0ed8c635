/**
 * The bench's figures, as the JSON object in the last line of its output holds them.
 *
 * Knows names, units and types, and reads what an earlier run wrote. Measures and shows nothing.
 * GB are 10^9 bytes.
 */
import { z } from "zod";

/** By context or by length of a prompt, in tokens. */
const byTokens = z.record(z.string(), z.number());

const kernel = z.object({
  name: z.string(),
  ms: z.number(),
  /** Null where what it reads is small, or read several times. */
  gb_s: z.number().nullable(),
});

/** Of answers that prompt lookup may guess. */
const lookup = z.object({
  tok_s: z.number(),
  /** The same without prompt lookup. */
  plain_tok_s: z.number(),
  guessed: z.number(),
  guessed_right: z.number(),
});

const figures = z.object({
  /** When the run ended, in ISO 8601. */
  date: z.string(),
  /** Null where the program is no checkout. */
  commit: z.string().nullable(),
  model: z.string(),
  /** Whether these are the few steps of --short, which say nothing of speed. */
  short: z.boolean(),
  adapter: z.string(),
  path: z.string(),
  bits: z.number(),
  /** Inputs that share a scale. */
  group: z.number(),
  act_order: z.boolean(),
  /** Named ways of computing, as `serve` has them; those who wrote no such line had none. */
  activations: z.string().default("int16"),
  deterministic: z.boolean().default(false),
  prompt_lookup: z.number().default(0),
  /** Of the real engine, by context. */
  decode_tok_s: byTokens,
  /** Weights, keys and values that these tokens read. */
  decode_gb_s: byTokens,
  /** Decode steps without an engine: the forward pass alone. */
  forward_tok_s: byTokens,
  /** Of the real engine, until the first token is there; by the prompt's length. */
  prefill_tok_s: byTokens,
  /** Over HTTP. */
  ttft_ms: z.number(),
  /** Tokens of the prompt that `ttft_ms` is of. */
  ttft_prompt_tokens: z.number(),
  /** Over HTTP. */
  stream_gap_p99_ms: z.number(),
  load_s: z.number(),
  /** Our own buffers, with the model loaded. */
  gpu_memory_bytes: z.number(),
  /** Against `--reference`, the worst of its prompts; null without. */
  logits_nmse: z.number().nullable(),
  /** What another form of activations or `--deterministic` is compared with: neither of them. */
  plain: z.object({ path: z.string(), decode_tok_s: byTokens, prefill_tok_s: byTokens })
    .nullable().default(null),
  /** By how a token is chosen; null unless prompt lookup is on. */
  lookup: z.record(z.string(), lookup).nullable().default(null),
  /** Each kernel over all layers, in a step of one row after the first context. */
  decode_kernels: z.array(kernel),
  /** The same in a step of `prefill_rows` rows of a prompt. */
  prefill_kernels: z.array(kernel),
  prefill_rows: z.number(),
});

export type Figures = z.output<typeof figures>;
export type ByTokens = z.output<typeof byTokens>;
export type KernelFigure = z.output<typeof kernel>;

/** Figures out of a file's text, or undefined when no run wrote it. */
export function parseFigures(text: string): Figures | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  return figures.safeParse(json).data;
}
