/**
 * The text side of a model: what turns text into ids and back, and the ids that end an answer.
 *
 * Knows which files of a checkpoint's folder it takes. Knows no weights and no HTTP.
 */
import { openCheckpoint } from "./checkpoint/checkpoint.ts";
import { CheckpointError } from "./checkpoint/error.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer.ts";

export interface TextSide {
  tokenizer: Tokenizer;
  /** Ids that end an answer: the model's end-of-text, if it names one. */
  stopTokens: readonly number[];
}

/** @throws {CheckpointError} naming the file that is missing or wrong */
export async function loadTextSide(dir: string): Promise<TextSide> {
  const checkpoint = await openCheckpoint(dir);
  const { tokenizerPath, config: { eosTokenId } } = checkpoint;
  checkpoint.close();
  if (tokenizerPath === undefined) {
    throw new CheckpointError(
      `${dir} holds no tokenizer.json, which it takes to read a prompt (inspect works without).`,
    );
  }
  const tokenizer = await loadTokenizer(tokenizerPath);
  return { tokenizer, stopTokens: eosTokenId === null ? [] : [eosTokenId] };
}
