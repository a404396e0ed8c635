/**
 * Flags as they are typed: which of those that there are was given what.
 *
 * Knows the form of an option and the words for what is wrong with a flag. Knows no option.
 */
import { parseArgs } from "node:util";
import type { z } from "zod";
import { suggestion } from "../model/cli/closest.ts";

export interface Option<Schema extends z.ZodType> {
  variable: string;
  /** Stands for the value in the help text. */
  placeholder: string;
  help: string;
  /** What the value must be, after "must be"; of a list, each value. */
  expected: string;
  /** Reads the text of a flag or variable, or its absence; of a list, all texts. */
  schema: Schema;
  /** The flag may be given several times, and the variable takes a list with commas. */
  list?: true;
  /** A value that no message may repeat. */
  secret?: true;
  /** Given without a value it is "true". */
  flag?: true;
}

/** A flag or variable that cannot be used, in a sentence for whoever set it. */
export class SettingsError extends Error {
  override name = "SettingsError";
}

/** The values of each flag, in their order. @throws {SettingsError} at the first that is wrong */
export function readFlags(
  args: string[],
  known: Readonly<Record<string, Option<z.ZodType>>>,
): Map<string, string[]> {
  const names = [...Object.keys(known), "help"];
  const flags = new Map<string, string[]>();
  const options = Object.fromEntries(
    Object.entries(known).map(([name, option]) => [
      name,
      { type: option.flag ? "boolean" as const : "string" as const },
    ]),
  );
  const { tokens } = parseArgs({ args, options, strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind === "positional") {
      throw new SettingsError(
        `"${token.value}" is no flag.${suggestion(token.value, names, "--")}`,
      );
    }
    if (token.kind === "option-terminator") continue;
    const { name, rawName } = token;
    const value = token.value ?? (options[name]?.type === "boolean" ? "true" : undefined);
    if (!Object.hasOwn(known, name)) {
      throw new SettingsError(`There is no flag ${rawName}.${suggestion(name, names, "--")}`);
    }
    if (value === undefined || value === "" || (!token.inlineValue && value.startsWith("--"))) {
      throw new SettingsError(`--${name} needs a value: --${name} ${known[name]!.placeholder}.`);
    }
    flags.set(name, [...flags.get(name) ?? [], value]);
  }
  return flags;
}
