/**
 * The flags that say how each token is chosen.
 *
 * Knows their names, bounds and defaults, which suit a dialogue. Knows nothing of how it is done.
 */
import { GREEDY, type Sampling } from "../engine.ts";
import { type Arguments, type FlagKinds, UsageError } from "./arguments.ts";

export const SAMPLING_FLAGS: FlagKinds = {
  temperature: { value: "T" },
  "top-k": { value: "K" },
  "top-p": { value: "P" },
  "min-p": { value: "P" },
  "typical-p": { value: "P" },
  "repetition-penalty": { value: "X" },
  "frequency-penalty": { value: "X" },
  "presence-penalty": { value: "X" },
  seed: { value: "N" },
  greedy: "switch",
};

/** A line each, for a command's help. */
export const SAMPLING_HELP = `\
  --temperature T           0 for greedy (default 0.7)
  --top-k K                 keep the K most probable tokens, 0 for all (default 40)
  --top-p P                 keep the most probable tokens that make up P (default 0.95)
  --min-p P                 keep tokens at least P times as probable as the best (default 0)
  --typical-p P             keep P of the tokens of typical probability (default 1, all)
  --repetition-penalty X    1 for none (default 1.1)
  --frequency-penalty X     -2 to 2 (default 0)
  --presence-penalty X      -2 to 2 (default 0)
  --seed N                  makes an answer repeatable (default: another one each time)
  --greedy                  the most probable token each time; the defaults above are off`;

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
