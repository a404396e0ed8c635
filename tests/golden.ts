/**
 * The golden cases, and what it means to agree with them.
 *
 * Knows where golden folders lie and what `golden.json` holds. Each folder is a loadable checkpoint;
 * the numbers were made in float64, with Hugging Face's own Falcon or, for a layer of the built-in
 * model, with the PyTorch one it was trained as (`model/tiny/training/`).
 */

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { SamplingParams } from "./reference_sampling.ts";

/** A greedy token whose lead over the runner-up is at most this may come out differently. */
export const MARGIN = 0.02;

export interface GoldenPrompt {
  ids: number[];
  lastLogits: Float64Array; // [V]
  /** Mean log-probability of ids[1..]; null for a single id. */
  meanLogprob: number | null;
  greedy: number[];
  /** How far each greedy token led the runner-up. */
  greedyMargin: number[];
}

export interface Golden {
  name: string;
  dir: string;
  prompts: GoldenPrompt[];
}

/** One call of Hugging Face's logits processors: `kept` maps ids to probabilities. */
export interface GoldenSampling {
  params: SamplingParams;
  logits: number[];
  context: number[];
  kept: Record<string, number>;
}

const committed = join(import.meta.dirname!, "golden");

/** Folders searched: `GOLDEN_DIR` alone where set, else the committed one and the shared one. */
function roots(): string[] {
  const named = Deno.env.get("GOLDEN_DIR");
  if (named) return [named];
  return [committed, join(import.meta.dirname!, "../../shared/golden")].filter(existsSync);
}

/** The checkpoint folders of all cases to run, one per case name. At least one, or it throws. */
export function goldenDirs(): string[] {
  const byName = new Map<string, string>();
  for (const root of roots()) {
    for (const name of readdirSync(root).sort()) {
      const dir = join(root, name);
      if (existsSync(join(dir, "golden.json")) && !byName.has(name)) byName.set(name, dir);
    }
  }
  assert(byName.size > 0, `no golden cases in ${roots().join(", ")}`);
  return [...byName.values()];
}

/** The folder of one committed case, for tests that need a particular format. */
export function committedGolden(name: string): string {
  return join(committed, name);
}

/** Reads `golden.json`; logits lie in it, or as little-endian float64 in a file beside it. */
export function loadGolden(dir: string): Golden {
  const { case: name, prompts } = JSON.parse(readFileSync(join(dir, "golden.json"), "utf8"));
  return {
    name,
    dir,
    prompts: prompts.map((prompt: Record<string, unknown>) => ({
      ids: prompt["ids"],
      lastLogits: typeof prompt["last_logits_file"] === "string"
        ? new Float64Array(
          new Uint8Array(readFileSync(join(dir, prompt["last_logits_file"]))).buffer,
        )
        : Float64Array.from(prompt["last_logits"] as number[]),
      meanLogprob: prompt["mean_logprob"],
      greedy: prompt["greedy"],
      greedyMargin: prompt["greedy_margin"],
    })),
  };
}

/** Every case of `sampling.json`: the first one found in `GOLDEN_DIR`, else the committed one. */
export function loadGoldenSampling(): GoldenSampling[] {
  const file = [...roots(), committed].map((root) => join(root, "sampling.json")).find(existsSync);
  return JSON.parse(readFileSync(file!, "utf8"));
}

/** Normalised mean square error: Σ (actual - expected)² / Σ expected². NaN if lengths differ. */
export function nmse(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return NaN;
  let error = 0, power = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i]! - expected[i]!) ** 2;
    power += expected[i]! ** 2;
  }
  return error / power;
}

/**
 * Asserts that `ours` repeats the golden tokens up to the first margin at or below `MARGIN`, from
 * where the two may part.
 *
 * @returns how many tokens had to agree
 */
export function agreedGreedy(golden: number[], margins: number[], ours: number[]): number {
  const close = margins.findIndex((margin) => margin <= MARGIN);
  const count = close < 0 ? golden.length : close;
  assert.deepEqual(ours.slice(0, count), golden.slice(0, count));
  return count;
}
