/**
 * Prompts of a given number of tokens, no two alike, for any tokenizer.
 *
 * Knows the model card's prompt. A prompt that begins like an earlier one could be answered from
 * what is kept of that, so each begins differently. Knows nothing of what is measured.
 */
import { join } from "node:path";
import { byteTokenizerJson } from "../../model/byte_tokenizer.ts";
import { CheckpointError } from "../../model/checkpoint/error.ts";
import { openCheckpoint } from "../../model/checkpoint/checkpoint.ts";
import { loadTokenizer, type Tokenizer } from "../../model/tokenizer.ts";

/** 35 tokens of Falcon's. */
const CARD_PROMPT =
  "[Intervenant 1:] Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?\n" +
  "[Intervenant 2:] Bonjour Camille,";

/** Tokens after which a text that repeats itself begins again. */
const PASSAGE = 24;

export class Prompts {
  #made = 0;

  private constructor(readonly tokenizer: Tokenizer, private readonly vocabSize: number) {}

  /**
   * Checkpoints without a tokenizer (synthetic ones) get one that spells bytes.
   *
   * @returns the prompts, and the longest prompt and answer of the model, in tokens
   * @throws {CheckpointError} for a checkpoint that cannot be used
   */
  static async open(dir: string): Promise<{ prompts: Prompts; maxPositions: number }> {
    const checkpoint = await openCheckpoint(dir);
    checkpoint.close();
    const { tokenizerPath, config: { vocabSize, maxPositions } } = checkpoint;
    const tokenizer = tokenizerPath === undefined
      ? await spelling(vocabSize, dir)
      : await loadTokenizer(tokenizerPath);
    return { prompts: new Prompts(tokenizer, vocabSize), maxPositions };
  }

  /** Token ids, spread over the vocabulary. */
  ids(length: number): number[] {
    const start = ++this.#made;
    const { vocabSize } = this;
    return Array.from({ length }, (_, i) => (start * 7919 + i * 104_729) % vocabSize);
  }

  /** Token ids that come again and again. */
  repeating(length: number): number[] {
    const passage = this.ids(PASSAGE);
    return Array.from({ length }, (_, i) => passage[i % PASSAGE]!);
  }

  /** The card's prompt, numbered, cut or repeated to about `length` tokens. */
  text(length: number): string {
    const once = `${++this.#made} ${CARD_PROMPT} `;
    const ids = this.tokenizer.encode(once.repeat(Math.ceil(length / 8)));
    return this.tokenizer.decode(ids.slice(0, length));
  }
}

async function spelling(vocabSize: number, dir: string): Promise<Tokenizer> {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "tokenizer.json");
    await Deno.writeTextFile(path, JSON.stringify(byteTokenizerJson(vocabSize)));
    return await loadTokenizer(path);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CheckpointError(`${dir} holds no tokenizer.json. ${error.message}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
