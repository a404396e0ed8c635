/**
 * One run of the simulation from plain settings: the model's KV memory, the GPU's rates, and each
 * policy over the same dialogues.
 *
 * Knows which setting goes where, and says what is assumed. Knows no flags and prints nothing.
 */
import { parseFalconConfig } from "../config.ts";
import { BLOCK_TOKENS, kvBytesPerToken } from "../kv_cache.ts";
import { Chance } from "./chance.ts";
import { policy, type PolicyName } from "./policies.ts";
import { type Rates, rateTable } from "./rates.ts";
import type { SidecarModel, Speeds } from "./sidecar.ts";
import { type Death, simulate, type Workload } from "./simulation.ts";
import { summarise, type Summary } from "./summary.ts";

/** Seconds of a step in which somebody waits for a token. */
const LONGEST_STEP = 0.04;
/** Rows of prompts that it has in any case, and its rows at most. */
const LEAST_CHUNK = 8;
const MOST_ROWS = 256;

export const FALCON_7B = parseFalconConfig({ model_type: "falcon" }, "Falcon-7B");

export interface Settings {
  sidecars: number;
  workload: Workload;
  /** Sequences that a sidecar computes at once. */
  slots: number;
  kvBytes: number;
  rates: Rates;
  policies: readonly PolicyName[];
  /** Turns that a sidecar takes, by rendezvous, however few the others have. */
  leastLoad: number;
  seconds: number;
  warmUpSeconds: number;
  death: Death | undefined;
  seed: number;
}

/** What holds for every run, a sentence a line. */
export const ASSUMPTIONS = [
  "Dialogues begin at random (Poisson), people think for exponential times, and dialogues share " +
  "no beginning.",
  "A sidecar's step holds a row for every answer and, in what is left of 40 ms, rows of prompts, " +
  "one prompt after the other. A step under way is not waited for.",
  "A turn starts when a slot and blocks for its prompt and whole answer are free; nobody overtakes.",
  "A rate depends on the number of rows, or of the prompt's tokens, not on how long contexts are.",
  "A finished turn leaves its whole blocks; the dialogue used longest ago loses them first, from " +
  "its end.",
  "There is one router. It knows each sidecar's load at once, and a death too; it and the network " +
  "take no time. Nobody gives up waiting.",
  "A turn whose sidecar dies goes to another one before its first token; after it, its client asks " +
  "again at once.",
];

/**
 * Runs every policy in turn; equal settings give equal results.
 *
 * @throws {RangeError} where the KV memory cannot hold one context
 */
export function runPolicies(settings: Settings): Record<string, Summary> {
  const { sidecars, workload, rates, seconds, warmUpSeconds, death, seed } = settings;
  const model = sidecarModel(settings);
  const basis = { blockTokens: BLOCK_TOKENS, overheadMilliseconds: rates.overhead_ms, death };
  const run = (name: PolicyName) => {
    const chosen = policy(name, new Chance(seed, name), settings.leastLoad);
    const times = { seconds, warmUpSeconds, death };
    const outcome = simulate({ sidecars, model, workload, policy: chosen, ...times, seed });
    return summarise(outcome, basis);
  };
  return Object.fromEntries(settings.policies.map((name) => [name, run(name)]));
}

function sidecarModel({ rates, slots, kvBytes }: Settings): SidecarModel {
  const rowRate = rateTable(rates.decode_tok_s);
  const known: Speeds[] = [];
  return {
    slots,
    blocks: Math.floor(kvBytes / (BLOCK_TOKENS * kvBytesPerToken(FALCON_7B))),
    blockTokens: BLOCK_TOKENS,
    prefillRate: rateTable(rates.prefill_tok_s),
    decodeRate: rowRate,
    mixed: (answers) => known[answers] ??= mixedSpeeds(answers, rowRate),
  };
}

/** As the engine's scheduler has it: a row for each answer, then prompts until the step is full. */
export function mixedSpeeds(answers: number, rowRate: (rows: number) => number): Speeds {
  let rows = answers + LEAST_CHUNK;
  while (rows < MOST_ROWS && (rows + 1) / rowRate(rows + 1) <= LONGEST_STEP) rows++;
  const steps = rowRate(rows) / rows;
  return { answer: steps, prompt: steps * (rows - answers) };
}
