/**
 * A command's flags and other arguments, read with one clear sentence for each mistake.
 *
 * Knows the forms `--name`, `--name value` and `--name=value`; `--` ends the flags. A flag begins
 * with dashes and a letter, so "- Bonjour" is no flag and "-1" can be a value; a value that looks
 * like a flag needs the form with "=". A flag that is not given may have a variable that is. Knows
 * no command.
 */
import { suggestion } from "./closest.ts";
import { type Flags, switchValue } from "./flags.ts";

/** A mistake of whoever typed the command, in a sentence that names what would be right. */
export class UsageError extends Error {
  override name = "UsageError";
}

const HELP = ["-h", "--help"];
const FLAG = /^--?\p{L}/u;

export class Arguments {
  /** What is no flag, in order. */
  readonly positionals: string[] = [];
  #help = false;
  readonly #values = new Map<string, string[]>();
  /** Where a value comes from that no flag gave. */
  readonly #variables = new Map<string, string>();

  /**
   * @param variables the environment; an empty variable counts as absent
   * @throws {UsageError} for a flag that does not exist, or that lacks or has a value wrongly
   */
  constructor(
    args: readonly string[],
    flags: Flags,
    variables: Readonly<Record<string, string | undefined>> = {},
  ) {
    this.#read(args, flags);
    if (!this.#help) this.#readVariables(flags, variables);
  }

  #read(args: readonly string[], flags: Flags): void {
    for (let i = 0; i < args.length; i++) {
      const arg = args[i]!;
      if (arg === "--") {
        this.positionals.push(...args.slice(i + 1));
        return;
      }
      if (HELP.includes(arg)) {
        this.#help = true;
        return;
      }
      if (!FLAG.test(arg)) {
        this.positionals.push(arg);
        continue;
      }
      const [, flag, inline] = /^([^=]*)=?([^]*)$/.exec(arg)!;
      const hasInline = arg.includes("=");
      const name = flag!.replace(/^--/, "");
      const kind = Object.hasOwn(flags, name) ? flags[name]! : undefined;
      if (kind === undefined) {
        const meant = suggestion(name.replace(/^-/, ""), [...Object.keys(flags), "help"], "--");
        throw new UsageError(`There is no flag ${flag}.${meant} Try --help.`);
      }
      if (kind.value === undefined) {
        if (hasInline) throw new UsageError(`${flag} takes no value, found "${inline}".`);
        this.#values.set(name, []);
        continue;
      }
      const value = hasInline ? inline : args[++i];
      if (value === undefined || (!hasInline && FLAG.test(value))) {
        throw new UsageError(`${flag} needs a value: ${flag} ${kind.value}.`);
      }
      this.#values.set(name, [...this.all(name), value]);
    }
  }

  #readVariables(
    flags: Flags,
    variables: Readonly<Record<string, string | undefined>>,
  ): void {
    for (const [name, { value, variable }] of Object.entries(flags)) {
      const text = variables[variable];
      if (!text || this.has(name)) continue;
      this.#variables.set(name, variable);
      if (value !== undefined) this.#values.set(name, [text]);
      else {
        const isOn = switchValue(text);
        if (isOn === undefined) {
          throw new UsageError(`${variable} must be 1 or 0, found "${text}".`);
        }
        if (isOn) this.#values.set(name, []);
      }
    }
  }

  /** Whether --help is among the arguments; then nothing else counts. */
  get help(): boolean {
    return this.#help;
  }

  /** Whether the flag was given. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** Every value of a flag that may be repeated. */
  all(name: string): string[] {
    return this.#values.get(name) ?? [];
  }

  /** The flag's value, the last one if there are several. */
  text(name: string): string | undefined {
    return this.all(name).at(-1);
  }

  /** @throws {UsageError} unless the value is one of `allowed` */
  choice<Value extends string>(name: string, allowed: readonly Value[], preset: Value): Value {
    const text = this.text(name) ?? preset;
    const found = allowed.find((value) => value === text);
    if (found !== undefined) return found;
    throw this.#wrong(name, allowed.join(", ").replace(/, ([^,]*)$/, " or $1"), text);
  }

  /** @throws {UsageError} unless the value is a whole number from `least` to `most` */
  whole(name: string, least: number, most: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw this.#wrong(name, `a whole number from ${least} to ${most}`, text);
  }

  /** @throws {UsageError} unless the value is a number that `fits`; `expected` says which do */
  number(
    name: string,
    expected: string,
    fits: (value: number) => boolean,
  ): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) && fits(value)) return value;
    throw this.#wrong(name, expected, text);
  }

  /** The error for a value that cannot be used, named by where it came from. */
  #wrong(name: string, expected: string, found: string): UsageError {
    const variable = this.#variables.get(name);
    if (variable === undefined) return wrong(name, expected, found);
    return new UsageError(`${variable} must be ${expected}, found "${found}".`);
  }
}

/** The error for a flag whose value is `found` and should be what `expected` says. */
export function wrong(name: string, expected: string, found: string): UsageError {
  return new UsageError(`--${name} must be ${expected}, found "${found}".`);
}
