/**
 * The JSON that TGI's generation routes take (Text Generation Inference v3.3.7).
 *
 * Knows names and types, with the ranges of the Rust types behind them; null counts as absent and
 * unknown fields are ignored. Knows no rule between fields: that is `tgi_validation.ts`.
 */
import { z } from "zod";
import { ApiError } from "./errors.ts";

const float = z.number({ error: "expected a number" });
const flag = z.boolean({ error: "expected a boolean" });
const text = z.string({ error: "expected a string" });
const u32 = whole("u32", 0, 2 ** 32 - 1);
const usize = whole("usize", 0, Number.MAX_SAFE_INTEGER);
const i32 = whole("i32", -(2 ** 31), 2 ** 31 - 1);
/** JSON.parse has rounded what lies above 2^53; 2^64 itself is where u64's maximum went. */
const u64 = whole("u64", 0, 2 ** 64);

function whole(type: string, min: number, max: number) {
  return float.refine((value) => Number.isInteger(value) && value >= min && value <= max, {
    error: `expected ${type}`,
  }).meta({ type: "integer", minimum: min, maximum: max });
}

export const tgiParameters = z.object({
  best_of: usize.nullish().describe("answers to draw; the likeliest is given (default: 1)"),
  temperature: float.nullish().describe("above 0 (default: 1)"),
  repetition_penalty: float.nullish().describe("above 0; 1 is none (default)"),
  frequency_penalty: float.nullish().describe("-2 to 2 (default: 0)"),
  top_k: i32.nullish().describe("above 0 (default: all tokens)"),
  top_p: float.nullish().describe("above 0 and below 1 (default: all tokens)"),
  typical_p: float.nullish().describe("above 0 and below 1 (default: all tokens)"),
  do_sample: flag.nullish()
    .describe("draw, in place of the likeliest token (default: only if a field above asks for it)"),
  max_new_tokens: u32.nullish().describe("above 0 (default: the rest of the context)"),
  return_full_text: flag.nullish().describe("repeat the prompt (default: only on POST /)"),
  stop: z.array(text, { error: "expected an array of strings" }).nullish()
    .describe("the answer ends after the first of these, and keeps it"),
  truncate: usize.nullish().describe("read only the last tokens of the prompt, so many"),
  watermark: flag.nullish().describe("refused if true"),
  details: flag.nullish().describe("tell of every token (default: false)"),
  decoder_input_details: flag.nullish().describe("tell of the prompt's tokens; not in a stream"),
  seed: u64.nullish().describe("the same seed gives the same answer (default: a random one)"),
  top_n_tokens: u32.nullish().describe("alternatives to tell of at each place (default: 0)"),
  grammar: z.unknown().optional().describe("refused"),
  adapter_id: text.nullish().describe("refused"),
}, { error: "expected an object" });

export const tgiRequest = z.object({
  inputs: text.describe("the prompt"),
  parameters: tgiParameters.nullish()
    .describe("without it, the answer is drawn; with it, only if a field asks for it"),
  stream: flag.nullish().describe("on POST / only: events in place of a whole answer"),
}, { error: "expected an object" });

export type GenerateParameters = z.output<typeof tgiParameters>;
export type TgiRequest = z.output<typeof tgiRequest>;

/** @throws {ApiError} 422 naming the first field that is missing or has the wrong type */
export function parseTgiRequest(json: unknown): TgiRequest {
  const { data, error } = tgiRequest.safeParse(json);
  if (data) return data;
  const { path, message } = error.issues[0]!;
  const field = path.join(".");
  const missing = field === "inputs" && !Object.hasOwn(json as object, "inputs");
  const reason = missing ? "missing field `inputs`" : field ? `${field}: ${message}` : message;
  throw new ApiError(
    422,
    "validation",
    `Failed to deserialize the JSON body into the target type: ${reason}`,
  );
}
