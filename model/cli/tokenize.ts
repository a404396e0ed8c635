/**
 * `tokenize`: JSON strings in, token ids out, a line each.
 *
 * Knows standard input and output and the tokenizer. Knows no model.
 */
import { join } from "node:path";
import { CheckpointError } from "../checkpoint/error.ts";
import { HubError } from "../hub/error.ts";
import { loadTokenizer, type Tokenizer } from "../tokenizer.ts";
import { Arguments, UsageError } from "./arguments.ts";
import { type Flags, flagsHelp } from "./flags.ts";
import { modelFolder } from "./model_folder.ts";

export const FLAGS: Flags = {
  tokenizer: { value: "FILE", variable: "TOKENIZER", help: "a tokenizer.json" },
  model: {
    value: "MODEL",
    variable: "MODEL",
    help: "a folder with a tokenizer.json in it, or owner/name[:revision]",
  },
};

export const help = `Turn JSON strings into token ids, line by line.

Usage: deno task tokenize --tokenizer FILE | --model DIR

Reads one JSON string a line from standard input and writes one JSON array of token ids a line to
standard output. Nothing is added to the text, and the spelling of a special token in it stays text.

${flagsHelp(FLAGS)}

Exit code: 0; 1 for a line or a tokenizer file that cannot be used; 2 for wrong options.
`;

/** Returns the exit code; everything there is to say is on standard error. */
export async function run(args: string[]): Promise<number> {
  let place: Place | undefined;
  try {
    place = readPlace(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    return 2;
  }
  const output = Deno.stdout.writable.getWriter();
  const print = (text: string) => output.write(new TextEncoder().encode(text));
  try {
    if (place === undefined) {
      await print(help);
      return 0;
    }
    const path = "tokenizer" in place
      ? place.tokenizer
      : join(await modelFolder(place.model), "tokenizer.json");
    const tokenizer = await loadTokenizer(path);
    return await tokenizeLines(tokenizer, Deno.stdin.readable, print);
  } catch (error) {
    // Whoever reads our output has seen enough.
    if (error instanceof Deno.errors.BrokenPipe) return 0;
    if (!(error instanceof CheckpointError || error instanceof HubError)) throw error;
    console.error(error.message);
    return 1;
  } finally {
    output.releaseLock();
  }
}

type Place = { tokenizer: string } | { model: string };

/** Where the tokenizer is, or undefined when help is asked for. */
function readPlace(argv: string[]): Place | undefined {
  const given = new Arguments(argv, FLAGS);
  if (given.help) return undefined;
  const [unexpected] = given.positionals;
  if (unexpected !== undefined) {
    throw new UsageError(`Expected flags alone, found "${unexpected}". Try --help.`);
  }
  // A flag for one of the two wins over a variable for the other.
  const isGiven = given.has("tokenizer") || given.has("model");
  const args = isGiven ? given : new Arguments(argv, FLAGS, Deno.env.toObject());
  const [tokenizer, model] = [args.text("tokenizer"), args.text("model")];
  if (tokenizer !== undefined && model === undefined) return { tokenizer };
  if (model !== undefined && tokenizer === undefined) return { model };
  throw new UsageError("Expected either --tokenizer FILE or --model MODEL. Try --help.");
}

/** Answers as the lines come in, so that another program can talk to it over a pipe. */
async function tokenizeLines(
  tokenizer: Tokenizer,
  input: ReadableStream<Uint8Array>,
  print: (text: string) => Promise<void>,
): Promise<number> {
  let number = 0;
  for await (const batch of lines(input)) {
    let output = "";
    for (const line of batch) {
      number++;
      const text = parseLine(line);
      if (typeof text !== "string") {
        await print(output);
        console.error(`Line ${number} should be a JSON string, found ${text.found}.`);
        return 1;
      }
      output += JSON.stringify(tokenizer.encode(text)) + "\n";
    }
    await print(output);
  }
  return 0;
}

/** The string that the line holds, or what it holds instead. */
function parseLine(line: Uint8Array): string | { found: string } {
  let value: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(line);
    if (text.trim() === "") return { found: "an empty line" };
    value = JSON.parse(text);
  } catch (error) {
    return { found: error instanceof SyntaxError ? "invalid JSON" : "invalid UTF-8" };
  }
  if (typeof value === "string") return value;
  if (value === null) return { found: "null" };
  if (Array.isArray(value)) return { found: "an array" };
  return { found: typeof value === "object" ? "an object" : `a ${typeof value}` };
}

/** The lines that each chunk of input completes; a last line needs no line feed. */
async function* lines(input: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array[]> {
  let begun: Uint8Array[] = [];
  for await (const chunk of input) {
    const batch: Uint8Array[] = [];
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      batch.push(concatenate([...begun, chunk.subarray(start, end)]));
      begun = [];
      start = end + 1;
    }
    if (start < chunk.length) begun.push(chunk.subarray(start));
    if (batch.length > 0) yield batch;
  }
  if (begun.length > 0) yield [concatenate(begun)];
}

function concatenate(parts: Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
