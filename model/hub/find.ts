/**
 * From what a person calls a model to its folder: a folder as it is, a name on the hub in the cache,
 * fetched when it is not there.
 *
 * Knows which of the two a text means. Knows no terminal.
 */
import { basename, resolve } from "node:path";
import { findCached, type FoundModel } from "./cached.ts";
import { HubError } from "./error.ts";
import { looksLikeSource, parseSource, type Source } from "./names.ts";
import { pull, type PullOptions } from "./pull.ts";

/** The model on the hub that the text means; undefined when it means a folder. */
export async function sourceOf(model: string): Promise<Source | undefined> {
  if (!looksLikeSource(model)) return undefined;
  try {
    await Deno.stat(model);
    return undefined;
  } catch {
    return parseSource(model);
  }
}

/**
 * The folder of a model that is called by its folder or by its name on the hub; fetches it if it is
 * not there.
 *
 * @param options made only when they are needed, since they read the environment
 * @throws as `pull` does; a folder is not looked into
 */
export async function findModel(model: string, options: () => PullOptions): Promise<FoundModel> {
  const source = await sourceOf(model);
  if (source === undefined) return { folder: model, name: basename(resolve(model)) };
  const chosen = options();
  const cached = await findCached(source, chosen.settings);
  if (cached) return cached;
  const { repo, revision } = source;
  try {
    const { folder, commit } = await pull(source, chosen);
    return { folder, name: repo, revision, commit };
  } catch (error) {
    if (!(error instanceof HubError) || chosen.settings.offline) throw error;
    throw new HubError(`There is no folder ${model}, so the hub was asked. ${error.message}`);
  }
}
