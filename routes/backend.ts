/**
 * From settings to what the app serves: an engine and the text side of its model.
 *
 * Knows which files a model's folder must hold for text. Knows no HTTP.
 */
import { basename, resolve } from "node:path";
import { BUILTIN_NAME, builtinModel } from "../model/builtin.ts";
import { openCheckpoint } from "../model/checkpoint/checkpoint.ts";
import { CheckpointError } from "../model/checkpoint/error.ts";
import type { Engine } from "../model/engine.ts";
import { startLocalEngine } from "../model/local_engine.ts";
import { loadTokenizer } from "../model/tokenizer.ts";
import { deferEngine } from "./deferred_engine.ts";
import type { LoadProgress } from "./progress.ts";
import type { TextSide } from "./service.ts";
import type { Settings } from "./settings.ts";

export interface Backend {
  engine: Engine;
  /** Rejects with a CheckpointError if the folder's tokenizer or configuration cannot be used. */
  text: Promise<TextSide>;
}

/** Begins to load and returns at once; how it went is told by `engine.ready` and `text`. */
export function startBackend(
  settings: Settings,
  onProgress: (progress: LoadProgress) => void,
): Backend {
  const { model } = settings;
  const folder = model === undefined
    ? builtinModel((done, total) => onProgress({ stage: "the built-in model", done, total }))
    : Promise.resolve(model);
  const engine = folder.then((model) =>
    startLocalEngine({
      model,
      queueLimit: settings.queue,
      kvBytes: settings["gpu-memory"],
      maxBindingBytes: settings["max-binding"],
      onProgress,
    })
  );
  const name = model === undefined ? BUILTIN_NAME : basename(resolve(model));
  return { engine: deferEngine(engine, name), text: folder.then(loadTextSide) };
}

/** @throws {CheckpointError} naming the file that is missing or wrong */
async function loadTextSide(folder: string): Promise<TextSide> {
  const checkpoint = await openCheckpoint(folder);
  checkpoint.close();
  const { tokenizerPath, config: { eosTokenId } } = checkpoint;
  if (tokenizerPath === undefined) {
    throw new CheckpointError(
      `${folder} holds no tokenizer.json, which it takes to read a prompt.`,
    );
  }
  const tokenizer = await loadTokenizer(tokenizerPath);
  return { tokenizer, stopTokens: eosTokenId === null ? [] : [eosTokenId] };
}
