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
  });
}

const parameters = z.object({
  best_of: usize.nullish(),
  temperature: float.nullish(),
  repetition_penalty: float.nullish(),
  frequency_penalty: float.nullish(),
  top_k: i32.nullish(),
  top_p: float.nullish(),
  typical_p: float.nullish(),
  do_sample: flag.nullish(),
  max_new_tokens: u32.nullish(),
  return_full_text: flag.nullish(),
  stop: z.array(text, { error: "expected an array of strings" }).nullish(),
  truncate: usize.nullish(),
  watermark: flag.nullish(),
  details: flag.nullish(),
  decoder_input_details: flag.nullish(),
  seed: u64.nullish(),
  top_n_tokens: u32.nullish(),
  grammar: z.unknown().optional(),
  adapter_id: text.nullish(),
}, { error: "expected an object" });

const generateRequest = z.object({
  inputs: text,
  parameters: parameters.nullish(),
  stream: flag.nullish(),
}, { error: "expected an object" });

export type GenerateParameters = z.output<typeof parameters>;
export type TgiRequest = z.output<typeof generateRequest>;

/** @throws {ApiError} 422 naming the first field that is missing or has the wrong type */
export function parseTgiRequest(json: unknown): TgiRequest {
  const { data, error } = generateRequest.safeParse(json);
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
