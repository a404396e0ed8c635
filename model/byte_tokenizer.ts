/**
 * A tokenizer for models made here: a token a byte, so it can spell any text, and made-up words.
 *
 * Knows the layout of a tokenizer.json and the places Falcon gives its special tokens. Knows
 * nothing learned: there are no merges.
 */
import { BYTE_CHARACTERS } from "./detokenizer.ts";

/** In the order of their ids, as in Falcon's own file; the last one ends a text. */
const SPECIAL_TOKENS = [
  ">>TITLE<<",
  ">>ABSTRACT<<",
  ">>INTRODUCTION<<",
  ">>SUMMARY<<",
  ">>COMMENT<<",
  ">>ANSWER<<",
  ">>QUESTION<<",
  ">>DOMAIN<<",
  ">>PREFIX<<",
  ">>SUFFIX<<",
  ">>MIDDLE<<",
  "<|endoftext|>",
];

/** The smallest vocabulary: the special tokens and the 256 bytes. */
export const BYTE_VOCAB_SIZE = SPECIAL_TOKENS.length + 256;

const SYLLABLES = [..."bcdfjlmnprstvz"].flatMap((c) => [..."aeiou"].map((vowel) => c + vowel));

/**
 * The content of a tokenizer.json: ids 0 to 11 are special, id 12 + b is the byte b. Each of those
 * above stands for a made-up word of its own, blank included, so that a model with a large vocabulary
 * and random weights writes something to look at, and has what it wrote counted as it wrote it.
 *
 * @throws {RangeError} if `vocabSize` has no room for the bytes
 */
export function byteTokenizerJson(vocabSize: number): unknown {
  if (!Number.isInteger(vocabSize) || vocabSize < BYTE_VOCAB_SIZE) {
    throw new RangeError(
      `A byte tokenizer needs a vocabulary of at least ${BYTE_VOCAB_SIZE}, found ${vocabSize}.`,
    );
  }
  const space = BYTE_CHARACTERS[0x20]!;
  const words = Array.from({ length: vocabSize - BYTE_VOCAB_SIZE }, (_, n) => space + word(n));
  const pieces = [...SPECIAL_TOKENS, ...BYTE_CHARACTERS, ...words];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
    model: {
      type: "BPE",
      unk_token: null,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges: [],
      // A word of the vocabulary is one token, although no merges lead to it.
      ignore_merges: true,
    },
  };
}

/** The n-th word: n written in base 70, a syllable a digit. */
function word(n: number): string {
  const rest = Math.floor(n / SYLLABLES.length);
  return (rest > 0 ? word(rest) : "") + SYLLABLES[n % SYLLABLES.length];
}
