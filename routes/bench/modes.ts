/**
 * The named ways of computing that the bench can be told to take, as `serve` can.
 *
 * Knows their flags, and which options of the engine they are. Knows no figure.
 */
import { type ActivationForm, ACTIVATIONS } from "../../model/activation_names.ts";
import type { Arguments } from "../../model/cli/arguments.ts";
import type { Flags } from "../../model/cli/flags.ts";

/** The most tokens that may be guessed at a time, as in `serve`. */
const MOST_GUESSES = 8;

export const MODE_FLAGS: Flags = {
  activations: {
    value: "FORM",
    variable: "ACTIVATIONS",
    help: `what several rows are multiplied as: ${ACTIVATIONS.join(", ")} (default: int16)`,
  },
  deterministic: {
    variable: "DETERMINISTIC",
    help: "rows computed alike whatever else a step holds",
  },
  "prompt-lookup": {
    value: "N",
    variable: "PROMPT_LOOKUP",
    help: `tokens guessed at a time, 0 to ${MOST_GUESSES} (default: 0)`,
  },
};

export interface Modes {
  activations: ActivationForm;
  deterministic: boolean;
  /** Tokens guessed at a time. */
  promptLookup: number;
}

/** What the engine does where it is told nothing. */
export const PLAIN: Modes = { activations: "int16", deterministic: false, promptLookup: 0 };

/** @throws {UsageError} for a value that is none */
export function readModes(args: Arguments): Modes {
  return {
    activations: args.choice("activations", ACTIVATIONS, PLAIN.activations),
    deterministic: args.has("deterministic"),
    promptLookup: args.whole("prompt-lookup", 0, MOST_GUESSES) ?? PLAIN.promptLookup,
  };
}

/** Options of the engine, and of the model alone. */
export function modeOptions({ activations, deterministic, promptLookup }: Modes) {
  return { numbers: activations, deterministic, promptLookup };
}

/** Whether every answer is computed otherwise, not only those that can be guessed. */
export function changesArithmetic({ activations, deterministic }: Modes): boolean {
  return activations !== PLAIN.activations || deterministic;
}
