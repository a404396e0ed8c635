/**
 * Text to token ids and back, as a model's tokenizer.json says.
 *
 * Knows the file and which of its tokens are special. Knows no model and no prompt format: which
 * token ends a text, or begins one, is the caller's business.
 */
import { Tokenizer as Encoder } from "@huggingface/tokenizers";
import { dirname, join } from "node:path";
import { CheckpointError } from "./checkpoint/error.ts";
import { ByteTable, Detokenizer } from "./detokenizer.ts";

export interface Tokenizer {
  /** The highest id plus one. */
  readonly vocabSize: number;
  /**
   * The ids of the text and of nothing else. The spelling of a special token in the text is encoded
   * as the ordinary characters that it is, so that no user can forge one. Lone surrogates become
   * U+FFFD; a byte that the vocabulary has no token for is left out.
   */
  encode(text: string): number[];
  /**
   * The text of the ids; invalid UTF-8 becomes U+FFFD, an id without a token gives nothing, and no
   * space is cleaned away (French writes one before "?" and "!").
   *
   * @param options `skipSpecial`: leave special tokens out; default false
   */
  decode(ids: readonly number[], options?: { skipSpecial?: boolean }): string;
  /** The token's own text, decoded alone: U+FFFD where it holds only part of a character. */
  piece(id: number): string;
  /** The UTF-8 bytes that the token stands for; a view, not to be written to. */
  bytes(id: number): Uint8Array;
  isSpecial(id: number): boolean;
  /** Decodes one answer token by token; special tokens give "". */
  detokenizer(): Detokenizer;
}

type Json = Record<string, unknown>;

interface AddedToken {
  id: number;
  content: string;
  special?: boolean;
}

/** The parts of tokenizer.json that are read here; the rest goes to the encoder as it is. */
interface TokenizerFile extends Json {
  added_tokens: AddedToken[];
  model: Json & { vocab: Record<string, number>; merges: (string | [string, string])[] };
}

/** Ids must fit a table; real vocabularies stay far below this. */
const MAX_VOCAB = 2 ** 24;

/**
 * Loads a byte-level BPE tokenizer, and the tokenizer_config.json beside it where there is one.
 *
 * @throws {CheckpointError} if a file is missing, unreadable or of a kind not supported
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  const file = check(await readJson(path), path);
  const configPath = join(dirname(path), "tokenizer_config.json");
  const config = await readJson(configPath, "optional");
  if (!isObject(config)) throw wrong(configPath, "the file", "an object", config);

  const { pieces, added } = pieceList(file, path);
  const table = new ByteTable(pieces, added);
  const names = new Set([
    ...file.added_tokens.filter((token) => token.special).map((token) => token.content),
    ...namedSpecials(config),
  ]);
  const special = new Set<number>();
  pieces.forEach((piece, id) => names.has(piece) && special.add(id));
  const encoder = plainTextEncoder(file, names, config, path);

  function decode(ids: readonly number[], options: { skipSpecial?: boolean } = {}): string {
    const detokenizer = new Detokenizer(table, options.skipSpecial ? special : undefined);
    return ids.map((id) => detokenizer.push(id)).join("") + detokenizer.flush();
  }
  return {
    vocabSize: pieces.length,
    encode: (text) => encoder.encode(text.toWellFormed()).ids,
    decode,
    piece: (id) => decode([id]),
    bytes: (id) => table.of(id),
    isSpecial: (id) => special.has(id),
    detokenizer: () => new Detokenizer(table, special),
  };
}

/**
 * An encoder that cannot produce a special token: it has no entry for one, and no merge that would
 * make one. All other text gets the ids that the whole file gives it.
 */
function plainTextEncoder(
  file: TokenizerFile,
  special: ReadonlySet<string>,
  config: Json,
  path: string,
): Encoder {
  const { vocab, merges } = file.model;
  const merged = (merge: string | [string, string]) =>
    typeof merge === "string" ? merge.replace(" ", "") : merge.join("");
  try {
    return new Encoder({
      normalizer: null,
      pre_tokenizer: null,
      ...file,
      added_tokens: file.added_tokens.filter((token) => !special.has(token.content)),
      model: {
        ...file.model,
        unk_token: null,
        vocab: Object.fromEntries(Object.entries(vocab).filter(([piece]) => !special.has(piece))),
        merges: merges.filter((merge) => !special.has(merged(merge))),
      },
      // It would frame the text with special tokens; decoding is done with the byte table.
      post_processor: null,
      decoder: null,
    }, config);
  } catch (error) {
    throw new CheckpointError(
      `${path} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** Each id's spelling, and the ids of added tokens, whose spelling is plain text. */
function pieceList(file: TokenizerFile, path: string) {
  const pieces: string[] = [];
  const tokens = [
    ...Object.entries(file.model.vocab),
    ...file.added_tokens.map(({ content, id }) => [content, id] as const),
  ];
  for (const [piece, id] of tokens) {
    if (!Number.isInteger(id) || id < 0 || id >= MAX_VOCAB) {
      throw wrong(path, `the id of token ${JSON.stringify(piece)}`, "an integer from 0", id);
    }
    if (pieces[id] !== undefined && pieces[id] !== piece) {
      const both = `${JSON.stringify(pieces[id])} and ${JSON.stringify(piece)}`;
      throw new CheckpointError(`${path}: id ${id} stands for two tokens, ${both}.`);
    }
    pieces[id] = piece;
  }
  return { pieces, added: new Set(file.added_tokens.map(({ id }) => id)) };
}

/** Special tokens that tokenizer_config.json names by their role; each is a string or an object. */
function namedSpecials(config: Json): string[] {
  const roles = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token"];
  const more = config.additional_special_tokens;
  const named = [...roles.map((role) => config[role]), ...(Array.isArray(more) ? more : [])];
  return named
    .map((token) => isObject(token) ? token.content : token)
    .filter((token) => typeof token === "string");
}

function check(file: unknown, path: string): TokenizerFile {
  if (!isObject(file)) throw wrong(path, "the file", "an object", file);
  const { model, decoder, added_tokens = [] } = file;
  if (!isObject(model)) throw wrong(path, '"model"', "an object", model);
  const { type = "BPE", vocab, merges } = model;
  if (type !== "BPE") throw wrong(path, '"model.type"', '"BPE"', type);
  if (!isObject(vocab)) throw wrong(path, '"model.vocab"', "an object of ids by token", vocab);
  if (!Array.isArray(merges)) throw wrong(path, '"model.merges"', "a list of pairs", merges);
  const badMerge = merges.find((merge) => typeof merge !== "string" && !Array.isArray(merge));
  if (badMerge !== undefined) throw wrong(path, '"model.merges"', "a list of pairs", badMerge);
  if (!isObject(decoder)) throw wrong(path, '"decoder"', "an object", decoder);
  if (decoder.type !== "ByteLevel") {
    throw wrong(path, '"decoder.type"', '"ByteLevel"', decoder.type);
  }
  if (!Array.isArray(added_tokens)) throw wrong(path, '"added_tokens"', "a list", added_tokens);
  for (const token of added_tokens) {
    if (!isObject(token) || typeof token.content !== "string" || token.content === "") {
      throw wrong(path, 'an entry of "added_tokens"', 'an object with "id" and "content"', token);
    }
  }
  return { ...file, added_tokens, model: { ...model, vocab, merges } } as TokenizerFile;
}

async function readJson(path: string, optional?: "optional"): Promise<unknown> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound;
    if (missing && optional) return {};
    throw new CheckpointError(
      missing ? `The tokenizer file ${path} does not exist.` : `${path} cannot be read as a file.`,
    );
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new CheckpointError(`${path} is not valid JSON.`);
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(path: string, what: string, expected: string, found: unknown): CheckpointError {
  const shown = found === undefined ? "nothing" : JSON.stringify(found).slice(0, 80);
  return new CheckpointError(`${path}: ${what} should be ${expected}, found ${shown}.`);
}
