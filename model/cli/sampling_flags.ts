/**
 * The flags that say how each token is chosen.
 *
 * Knows their names, bounds and defaults, which suit a dialogue. Knows nothing of how it is done.
 */
import { GREEDY, type Sampling } from "../engine.ts";
import { type Arguments, UsageError } from "./arguments.ts";
import type { Flags } from "./flags.ts";

export const SAMPLING_FLAGS: Flags = {
  temperature: { value: "T", variable: "TEMPERATURE", help: "0 for greedy (default: 0.7)" },
  "top-k": {
    value: "K",
    variable: "TOP_K",
    help: "keep the K most probable tokens, 0 for all (default: 40)",
  },
  "top-p": {
    value: "P",
    variable: "TOP_P",
    help: "keep the most probable tokens that make up P (default: 0.95)",
  },
  "min-p": {
    value: "P",
    variable: "MIN_P",
    help: "keep tokens at least P times as probable as the best (default: 0)",
  },
  "typical-p": {
    value: "P",
    variable: "TYPICAL_P",
    help: "keep P of the tokens of typical probability (default: 1, all)",
  },
  "repetition-penalty": {
    value: "X",
    variable: "REPETITION_PENALTY",
    help: "1 for none (default: 1.1)",
  },
  "frequency-penalty": {
    value: "X",
    variable: "FREQUENCY_PENALTY",
    help: "-2 to 2 (default: 0)",
  },
  "presence-penalty": { value: "X", variable: "PRESENCE_PENALTY", help: "-2 to 2 (default: 0)" },
  seed: {
    value: "N",
    variable: "SEED",
    help: "makes an answer repeatable (default: another one each time)",
  },
  greedy: {
    variable: "GREEDY",
    help: "the most probable token each time; the defaults above are off",
  },
};

const DEFAULTS: Sampling = {
  ...GREEDY,
  temperature: 0.7,
  topK: 40,
  topP: 0.95,
  repetitionPenalty: 1.1,
};

/** @throws {UsageError} for a value out of bounds */
export function readSampling(args: Arguments): Sampling {
  const greedy = args.has("greedy");
  if (greedy && args.has("temperature")) {
    throw new UsageError("--greedy means --temperature 0: give one of the two.");
  }
  const preset = greedy ? GREEDY : DEFAULTS;
  const between = (name: string, least: number, most: number) =>
    args.number(name, `a number from ${least} to ${most}`, (x) => x >= least && x <= most);
  const share = (name: string) =>
    args.number(name, "a number above 0, at most 1", (x) => x > 0 && x <= 1);
  return {
    temperature: between("temperature", 0, 100) ?? preset.temperature,
    topK: args.whole("top-k", 0, 1e6) ?? preset.topK,
    topP: share("top-p") ?? preset.topP,
    minP: between("min-p", 0, 1) ?? preset.minP,
    typicalP: share("typical-p") ?? preset.typicalP,
    repetitionPenalty: between("repetition-penalty", 0.01, 100) ?? preset.repetitionPenalty,
    frequencyPenalty: between("frequency-penalty", -2, 2) ?? preset.frequencyPenalty,
    frequencyScope: preset.frequencyScope,
    logitBias: preset.logitBias,
    presencePenalty: between("presence-penalty", -2, 2) ?? preset.presencePenalty,
    seed: args.whole("seed", 0, Number.MAX_SAFE_INTEGER) ?? Math.floor(Math.random() * 2 ** 53),
  };
}
