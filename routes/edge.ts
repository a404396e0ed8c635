/**
 * What a server without a GPU serves: the engine is elsewhere, the text side is here.
 *
 * Knows which of a model's files an edge needs: its settings and its tokenizer, from a folder.
 */
import { builtinModel } from "../model/builtin.ts";
import { HubError } from "../model/hub/error.ts";
import { sourceOf } from "../model/hub/find.ts";
import { connectRemoteEngine } from "../model/remote/remote_engine.ts";
import { loadTextSide } from "../model/text_side.ts";
import type { Backend } from "./backend.ts";
import type { Settings } from "./settings.ts";

/** Begins to look for the sidecars; `engine.ready` resolves once one of them can answer. */
export function startEdge({ model, engine: urls, "sidecar-key": key = "" }: Settings): Backend {
  const text = folderOf(model).then(loadTextSide);
  return {
    engine: connectRemoteEngine({
      urls,
      key,
      fingerprint: text.then(({ fingerprint }) => fingerprint),
      onNote: (sentence) => console.error(sentence),
    }),
    text,
  };
}

/** @throws {HubError} for a name on the hub: fetching a model whole is not for an edge */
async function folderOf(model: string | undefined): Promise<string> {
  if (model === undefined) return builtinModel();
  if (await sourceOf(model) !== undefined) {
    throw new HubError(
      `Beside --engine, --model must be a folder with config.json and tokenizer.json, found ${model}.`,
    );
  }
  return model;
}
