/**
 * Rewrites a golden checkpoint into the forms that no golden folder holds: biases, shards, gptq_v2
 * zeros, other scale types, other names. Each change keeps the logits, but for those marked.
 *
 * Knows how the same weights may be stored. Knows no forward pass; it reads golden folders (one
 * `model.safetensors`, gptq zeros, F16 scales), not any checkpoint.
 */

import { join } from "node:path";
import { floats, readSafetensors, type Tensor, writeSafetensors } from "./safetensors.ts";

type Json = Record<string, unknown>;

/** What to change; an absent field leaves that part as it is. */
export interface Change {
  /**
   * Of every quantised linear: dropped, zero, or values for its name and width N (rounded to F16;
   * not lossless).
   */
  bias?: "none" | "zero" | ((linear: string, width: number) => number[]);
  /** Drops every g_idx: lossless without act-order only. */
  groupIndex?: "none";
  /** Stores zeros without the "minus one". */
  zeros?: "gptq_v2";
  /**
   * "f32" only changes the type. Both bf16 forms first round the values to bf16, so they equal each
   * other but not the source: "bf16" stores them as BF16, "bf16 in f16" as F16.
   */
  scales?: "f32" | "bf16" | "bf16 in f16";
  /** Under which names the one [V, D] matrix is stored. */
  head?: "word_embeddings" | "lm_head" | "both";
  /** Moves the quantisation settings into config.json. */
  settingsInConfig?: true;
  /** Files to spread the tensors over, with an index. */
  shards?: number;
  /** Name of the one weights file, without shards. Default: model.safetensors. */
  file?: string;
  /** Damage: fields laid over config.json, over the quantisation settings, and any tensor. */
  config?: Json;
  quantization?: Json;
  edit?: (tensors: Map<string, Tensor>) => void;
}

/**
 * Reads the checkpoint in `fromDir`, applies the change and writes `toDir`, golden.json included.
 *
 * @throws {Error} if the change cannot be made without loss (a stored zero at its maximum has no
 * gptq_v2 form, a bf16 scale none in F16).
 */
export async function rewriteCheckpoint(
  fromDir: string,
  toDir: string,
  change: Change,
): Promise<void> {
  const tensors = await readSafetensors(join(fromDir, "model.safetensors"));
  const config = { ...await readJson(join(fromDir, "config.json")), ...change.config };
  const quantization = await readJson(join(fromDir, "quantize_config.json"));
  if (change.zeros) quantization["checkpoint_format"] = change.zeros;

  const quantised = [...tensors.keys()].filter((name) => name.endsWith(".qweight"));
  for (const name of quantised.map((name) => name.slice(0, -".qweight".length))) {
    if (change.bias) rewriteBias(tensors, name, change.bias);
    if (change.groupIndex) tensors.delete(`${name}.g_idx`);
    if (change.zeros) addOne(tensors.get(`${name}.qzeros`)!, quantization["bits"] as number);
    const scales = tensors.get(`${name}.scales`)!;
    if (change.scales) tensors.set(`${name}.scales`, convertScales(scales, change.scales));
  }
  if (change.head) renameHead(tensors, change.head);
  change.edit?.(tensors);

  await Deno.mkdir(toDir, { recursive: true });
  await Deno.copyFile(join(fromDir, "golden.json"), join(toDir, "golden.json"));
  Object.assign(quantization, change.quantization);
  if (change.settingsInConfig) {
    Object.assign(config, { quantization_config: { ...quantization, quant_method: "gptq" } });
  } else {
    await writeJson(join(toDir, "quantize_config.json"), quantization);
  }
  await writeJson(join(toDir, "config.json"), config);
  if (change.shards) await writeShards(toDir, tensors, change.shards);
  else await writeSafetensors(join(toDir, change.file ?? "model.safetensors"), tensors);
}

function rewriteBias(tensors: Map<string, Tensor>, name: string, bias: Change["bias"]): void {
  tensors.delete(`${name}.bias`);
  if (bias === "none") return;
  const width = tensors.get(`${name}.scales`)!.shape[1]!; // N
  const values = typeof bias === "function" ? bias(name, width) : Array<number>(width).fill(0);
  tensors.set(`${name}.bias`, tensor("F16", [width], new Float16Array(values)));
}

/** Adds one to each packed zero, in place. */
function addOne(qzeros: Tensor, bits: number): void {
  const words = new Uint32Array(qzeros.bytes.buffer);
  const most = 2 ** bits - 1;
  for (let i = 0; i < words.length; i++) {
    for (let shift = 0; shift < 32; shift += bits) {
      if ((words[i]! >>> shift & most) === most) {
        throw new Error(`a stored zero of ${most} has no gptq_v2 form`);
      }
      words[i]! += 2 ** shift; // below the maximum, so nothing carries
    }
  }
}

function convertScales(scales: Tensor, kind: NonNullable<Change["scales"]>): Tensor {
  const values = Float32Array.from(floats(scales));
  if (kind === "f32") return tensor("F32", scales.shape, values);
  // bf16 is the upper half of a float32: round the lower half away, ties to even.
  const bits = new Uint32Array(values.buffer);
  const halves = Uint16Array.from(bits, (b) => (b + 0x7fff + (b >>> 16 & 1)) >>> 16);
  if (kind === "bf16") return tensor("BF16", scales.shape, halves);
  const rounded = new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
  const stored = new Float16Array(rounded);
  if (stored.some((value, i) => value !== rounded[i])) {
    throw new Error("a scale rounded to bf16 has no F16 form");
  }
  return tensor("F16", scales.shape, stored);
}

function renameHead(tensors: Map<string, Tensor>, head: NonNullable<Change["head"]>): void {
  const names = ["transformer.word_embeddings.weight", "lm_head.weight"] as const;
  const matrix = tensors.get(names[0]) ?? tensors.get(names[1])!;
  for (const name of names) tensors.delete(name);
  if (head !== "lm_head") tensors.set(names[0], matrix);
  if (head !== "word_embeddings") tensors.set(names[1], matrix);
}

/** Spreads the tensors over files in order of name, so that layers and linears get split. */
async function writeShards(dir: string, tensors: Map<string, Tensor>, shards: number) {
  const names = [...tensors.keys()].sort();
  const weightMap: Record<string, string> = {};
  for (let s = 0; s < shards; s++) {
    const [number, count] = [s + 1, shards].map((n) => String(n).padStart(5, "0"));
    const file = `model-${number}-of-${count}.safetensors`;
    const [start, end] = [s, s + 1].map((n) => Math.round(n * names.length / shards));
    const own = new Map(names.slice(start, end).map((name) => [name, tensors.get(name)!]));
    for (const name of own.keys()) weightMap[name] = file;
    await writeSafetensors(join(dir, file), own);
  }
  const totalSize = [...tensors.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  const index = { metadata: { total_size: totalSize }, weight_map: weightMap };
  await writeJson(join(dir, "model.safetensors.index.json"), index);
}

function tensor(
  dtype: string,
  shape: number[],
  values: Float16Array<ArrayBuffer> | Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>,
): Tensor {
  return { dtype, shape, bytes: new Uint8Array(values.buffer) };
}

async function readJson(path: string): Promise<Json> {
  return JSON.parse(await Deno.readTextFile(path));
}

async function writeJson(path: string, value: Json): Promise<void> {
  await Deno.writeTextFile(path, JSON.stringify(value, null, 1));
}
