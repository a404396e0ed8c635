/**
 * From settings to what the app serves: an engine and the text side of its model.
 *
 * Knows how settings become options, and that a model may have to be fetched first. Knows no HTTP.
 */
import { numberBytesOf } from "../model/activation_names.ts";
import { BUILTIN_NAME, builtinModel } from "../model/builtin.ts";
import { retryNote } from "../model/cli/notes.ts";
import type { Engine } from "../model/engine.ts";
import { environment } from "../model/environment.ts";
import type { FoundModel } from "../model/hub/cached.ts";
import { findModel } from "../model/hub/find.ts";
import { hubSettings } from "../model/hub/settings.ts";
import { startLocalEngine } from "../model/local_engine.ts";
import { loadTextSide, type TextSide } from "../model/text_side.ts";
import { deferEngine } from "./deferred_engine.ts";
import { startEdge } from "./edge.ts";
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
  if (settings.engine.length > 0) return startEdge(settings);
  const { model } = settings;
  // Before the engine is there, what is done of fetching the model.
  let fraction = 0;
  const report = (progress: LoadProgress) => {
    fraction = progress.total > 0 ? progress.done / progress.total : 0;
    onProgress(progress);
  };
  const found: Promise<FoundModel> = model === undefined
    ? Promise.resolve({ folder: builtinModel(), name: BUILTIN_NAME })
    : findModel(model, () => ({
      settings: hubSettings(environment()),
      onProgress: (progress) => report({ ...progress, stage: model }),
      onNote: (sentence) => console.error(sentence),
      onRetry: (reason, seconds) => console.error(retryNote(reason, seconds)),
    }));
  const engine = found.then(({ folder }) =>
    startLocalEngine({
      model: folder,
      queueLimit: settings.queue,
      slots: settings.parallel,
      queueSeconds: settings["queue-seconds"],
      restarts: 1,
      kvBytes: settings["gpu-memory"],
      maxBindingBytes: settings["max-binding"],
      path: settings.path,
      numberBytes: numberBytesOf(settings.activations),
      deterministic: settings.deterministic,
      promptLookup: settings["prompt-lookup"],
      onProgress,
      onNote: (sentence) => console.error(sentence),
    })
  );
  return {
    engine: deferEngine(engine, found, () => fraction),
    text: found.then(({ folder }) => loadTextSide(folder)),
  };
}
