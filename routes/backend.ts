/**
 * From settings to what the app serves: an engine and the text side of its model.
 *
 * Knows how settings become options. Knows no HTTP.
 */
import { basename, resolve } from "node:path";
import { BUILTIN_NAME, builtinModel } from "../model/builtin.ts";
import type { Engine } from "../model/engine.ts";
import { startLocalEngine } from "../model/local_engine.ts";
import { loadTextSide, type TextSide } from "../model/text_side.ts";
import { deferEngine } from "./deferred_engine.ts";
import type { LoadProgress } from "./progress.ts";
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
  const folder = Promise.resolve(model ?? builtinModel());
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
