/**
 * How the weights were quantised, as the settings files say.
 *
 * Knows the names that AutoGPTQ, GPTQModel, Transformers and TGI give these settings, and refuses by
 * name what is not GPTQ with 4 or 8 bits. Knows no tensor.
 */

import { oneOf, quote, wrong } from "./report.ts";
import type { Settings } from "./settings.ts";

export interface Quantization {
  bits: 4 | 8;
  /** Inputs that share a scale and a zero; 0 when all inputs of a column do. */
  groupSize: number;
  /** Whether inputs were sorted by importance before grouping ("act-order", desc_act). */
  actOrder: boolean;
  /** As declared; the stored zeros hold either way. */
  symmetric: boolean;
  /** zero = stored zero + this: 1 for the format "gptq", 0 for "gptq_v2". */
  zeroOffset: 0 | 1;
}

/** Groups of a column of `inFeatures` weights; the last one may be shorter (35.5 are 36). */
export function groupCount(inFeatures: number, groupSize: number): number {
  return groupSize === 0 ? 1 : Math.ceil(inFeatures / groupSize);
}

/** Kernels read 32 inputs at a time, all of one group. */
const GROUP_STEP = 32;

const FORMATS = new Map<string, 0 | 1>([["gptq", 1], ["gptq_v2", 0]]);

/** Settings that change the weights in ways that are not run here. */
const REFUSALS: readonly [name: string, allowed: readonly unknown[], reason: string][] = [
  ["is_marlin_format", [false], "weights packed for Marlin are not supported"],
  ["lm_head", [false], "a quantised head is not supported"],
  ["dynamic", [false], "settings that differ between layers are not supported"],
  ["pack_dtype", ["int32"], "weights are packed in 32-bit words"],
];

/**
 * @param places the settings that exist, the most trusted first; each may leave keys to the others
 * @param dir names the checkpoint when there are none
 * @throws {CheckpointError} when settings are missing, malformed, contradictory or not supported
 */
export function parseQuantization(places: readonly Settings[], dir: string): Quantization {
  if (places.length === 0) {
    throw wrong(
      dir,
      "the quantisation settings",
      'in "quantization_config" of config.json, in quantize_config.json or in quant_config.json',
      "none (is this a GPTQ checkpoint?)",
    );
  }
  const method = agreed(places, "quant_method", readMethod);
  if (method !== undefined) only(method, ["gptq"]);
  for (const place of places) {
    for (const [name, allowed, reason] of REFUSALS) place.allow(name, allowed, reason);
  }
  const format = agreed(places, "checkpoint_format", readFormat);
  if (format !== undefined) only(format, [...FORMATS.keys()]);

  const bits = required(places, "bits", (place) => place.value("bits", "w_bit"));
  only(bits, [4, 8]);
  const groupSize = required(places, "group_size", readGroupSize);
  const actOrder = agreed(places, "desc_act", (place) => place.boolean("desc_act"));
  const symmetric = agreed(places, "sym", (place) => place.boolean("sym"));
  return {
    bits: bits.value === 4 ? 4 : 8,
    groupSize: groupSize.value,
    actOrder: actOrder?.value ?? false,
    symmetric: symmetric?.value ?? true,
    zeroOffset: FORMATS.get(format?.value ?? "gptq") ?? 1,
  };
}

/** A setting, with the place that gave it. */
interface Found<T> {
  name: string;
  value: T;
  file: string;
}

/** The setting that all places which have it agree on. */
function agreed<T>(
  places: readonly Settings[],
  name: string,
  read: (place: Settings) => T | undefined,
): Found<T> | undefined {
  let found: Found<T> | undefined;
  for (const place of places) {
    const value = read(place);
    if (value === undefined) continue;
    found ??= { name, value, file: place.file };
    if (value !== found.value) {
      throw wrong(
        place.file,
        `"${name}"`,
        `${quote(found.value)} as in ${found.file}`,
        quote(value),
      );
    }
  }
  return found;
}

function required<T>(
  places: readonly Settings[],
  name: string,
  read: (place: Settings) => T | undefined,
): Found<T> {
  const found = agreed(places, name, read);
  if (found !== undefined) return found;
  throw wrong(places.map((place) => place.file).join(", "), `"${name}"`, "given", "nothing");
}

function only(found: Found<unknown>, allowed: readonly unknown[]): void {
  if (allowed.includes(found.value)) return;
  throw wrong(found.file, `"${found.name}"`, oneOf(allowed), quote(found.value));
}

/** AutoAWQ's older quant_config.json names no method: its keys tell. */
function readMethod(place: Settings): string | undefined {
  const method = place.text("quant_method", "method")?.toLowerCase();
  return method ?? (place.has("zero_point") ? "awq" : undefined);
}

function readFormat(place: Settings): string | undefined {
  return place.text("checkpoint_format", "format")?.toLowerCase();
}

/** 0 for "none", which files write as -1. */
function readGroupSize(place: Settings): number | undefined {
  const size = place.value("group_size", "q_group_size");
  if (size === undefined) return undefined;
  if (size === -1) return 0;
  if (typeof size === "number" && size > 0 && size % GROUP_STEP === 0) return size;
  const expected = `-1 (none) or a multiple of ${GROUP_STEP}`;
  throw wrong(place.file, '"group_size"', expected, quote(size));
}
