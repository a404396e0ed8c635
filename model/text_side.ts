/**
 * The text side of a model: what turns text into ids and back, and the ids that end an answer.
 *
 * Knows which files of a checkpoint's folder it takes: the settings and the tokenizer. Needs no
 * weights to be there. Knows no HTTP.
 */
import { createHash } from "node:crypto";
import { findTokenizer, readCheckpointSettings } from "./checkpoint/checkpoint.ts";
import { CheckpointError } from "./checkpoint/error.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer.ts";

export interface TextSide {
  tokenizer: Tokenizer;
  /** Ids that end an answer: the model's end-of-text, if it names one. */
  stopTokens: readonly number[];
  /** The same for the same tokenizer and configuration, whatever the weights: a hash in hex. */
  fingerprint: string;
}

/** @throws {CheckpointError} naming the file that is missing or wrong */
export async function loadTextSide(dir: string): Promise<TextSide> {
  const { config } = await readCheckpointSettings(dir);
  const tokenizerPath = await findTokenizer(dir);
  if (tokenizerPath === undefined) {
    throw new CheckpointError(
      `${dir} holds no tokenizer.json, which it takes to read a prompt (inspect works without).`,
    );
  }
  const tokenizer = await loadTokenizer(tokenizerPath);
  const fingerprint = createHash("sha256")
    .update(JSON.stringify(config))
    .update(await Deno.readFile(tokenizerPath))
    .digest("hex");
  const { eosTokenId } = config;
  return { tokenizer, stopTokens: eosTokenId === null ? [] : [eosTokenId], fingerprint };
}
