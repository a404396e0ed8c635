/**
 * A model that the cache has.
 *
 * Knows when it is there whole, whoever fetched it. Never asks the hub.
 */
import type { Source } from "./names.ts";
import { isComplete } from "./needed.ts";
import type { HubSettings } from "./settings.ts";
import { cachedCommit, snapshotFolder } from "./store.ts";

export interface FoundModel {
  folder: string;
  /** What it is called where others see it: never the path of a folder here. */
  name: string;
  /** The branch, tag or commit asked for; undefined for a plain folder. */
  revision?: string;
  commit?: string;
}

/** The model as the cache has it, whole; the hub is not asked. */
export async function findCached(
  source: Source,
  { cache }: HubSettings,
): Promise<FoundModel | undefined> {
  const { repo, revision } = source;
  const commit = await cachedCommit(cache, source);
  if (commit === undefined) return undefined;
  const folder = snapshotFolder(cache, repo, commit);
  return await isComplete(folder) ? { folder, name: repo, revision, commit } : undefined;
}
