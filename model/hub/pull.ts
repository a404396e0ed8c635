/**
 * A model from the hub, whole: what is missing is fetched, what is here stays.
 *
 * Knows the order: revision, settings, choice of weights, room on the disk, weights. Knows no
 * terminal.
 */
import { join } from "node:path";
import { freeBytes } from "../disk.ts";
import { formatBytes } from "../sizes.ts";
import type { Patience } from "./backoff.ts";
import { findCached } from "./cached.ts";
import { HubClient, type Repository } from "./client.ts";
import type { HubFile } from "./hub_file.ts";
import { download } from "./download.ts";
import { HubError } from "./error.ts";
import { FolderStore } from "./folder_store.ts";
import { withLock } from "./lock.ts";
import type { Source } from "./names.ts";
import { chooseWeights, SETTINGS_FILES, shardsOf, TEXT_FILES } from "./needed.ts";
import { Partial } from "./partial.ts";
import type { HubSettings } from "./settings.ts";
import { CacheStore, sizeOf, type Store } from "./store.ts";

export interface PullProgress {
  /** The file that is fetched now. */
  file: string;
  /** Bytes of the model that are here, of all that it takes but a few settings. */
  done: number;
  total: number;
  /** Bytes that came over the network until now. */
  fetched: number;
}

export interface PullOptions extends Patience {
  settings: HubSettings;
  /** A plain folder instead of the cache. */
  localDir?: string | undefined;
  /** For one file at the same time (default 8). */
  connections?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: PullProgress) => void) | undefined;
  /** Told in a sentence of what takes long for another reason. */
  onNote?: ((sentence: string) => void) | undefined;
  /** Bytes free on the disk of a folder; tests give their own. */
  freeBytes?: ((folder: string) => Promise<number>) | undefined;
}

export interface Pulled extends Source {
  commit: string;
  /** The checkpoint's folder. */
  folder: string;
  files: { name: string; bytes: number }[];
  /** Bytes that came over the network. */
  fetchedBytes: number;
}

const CONNECTIONS = 8;

/**
 * @throws {HubError} with the cure
 * @throws {CheckpointError} for a model that Clairon does not run, before its weights are fetched
 * @throws the signal's reason; another pull goes on from there
 */
export async function pull(source: Source, options: PullOptions): Promise<Pulled> {
  const { settings, signal = new AbortController().signal } = options;
  if (settings.offline) return await pulledBefore(source, options);
  const client = new HubClient(settings, signal, options);
  try {
    const repository = await client.repository(source);
    const { commit } = repository;
    const store = options.localDir !== undefined
      ? new FolderStore(options.localDir)
      : new CacheStore(settings.cache, source, commit);
    const fetcher = new Fetcher(client, repository, store, options, signal);
    if (!repository.files.has("config.json")) {
      throw new HubError(`${source.repo} holds no config.json: it is no model that Clairon runs.`);
    }
    const present = (names: readonly string[]) =>
      names.filter((name) => repository.files.has(name));
    await fetcher.fetch(present(SETTINGS_FILES));
    const weights = await chooseWeights(store.folder, repository.files);
    if ("index" in weights) await fetcher.fetch([weights.index]);
    const large = "single" in weights
      ? [weights.single]
      : await shardsOf(store.folder, weights.index);
    await fetcher.fetch([...present(TEXT_FILES), ...large], options.onProgress);
    await store.finish();
    const files = fetcher.files.map(({ name, bytes }) => ({ name, bytes }));
    const { folder } = store;
    return { ...source, commit, folder, files, fetchedBytes: fetcher.fetchedBytes };
  } catch (error) {
    throw signal.aborted ? signal.reason : inWords(error, settings);
  } finally {
    client.close();
  }
}

/** What the cache has, when the hub may not be asked. @throws {HubError} when that is nothing */
async function pulledBefore(source: Source, options: PullOptions): Promise<Pulled> {
  const { settings, localDir } = options;
  const found = localDir === undefined ? await findCached(source, settings) : undefined;
  if (found?.commit === undefined) {
    throw new HubError(
      `${source.repo}:${source.revision} is not in ${settings.cache}, and HF_HUB_OFFLINE is set: ` +
        "unset it to fetch the model.",
    );
  }
  const { folder, commit } = found;
  const files: Pulled["files"] = [];
  for await (const { name } of Deno.readDir(folder)) {
    const bytes = await sizeOf(join(folder, name));
    if (bytes !== undefined) files.push({ name, bytes });
  }
  return { ...source, commit, folder, files, fetchedBytes: 0 };
}

/** Fetches files one after the other, each at its full speed. */
class Fetcher {
  readonly files: HubFile[] = [];
  fetchedBytes = 0;
  #onProgress: PullOptions["onProgress"];
  #done = 0;
  #total = 0;

  constructor(
    private readonly client: HubClient,
    private readonly repository: Repository,
    private readonly store: Store,
    private readonly options: PullOptions,
    private readonly signal: AbortSignal,
  ) {}

  /** Sees to it that all of these are here; what they are is asked before the first is fetched. */
  async fetch(names: readonly string[], onProgress?: PullOptions["onProgress"]): Promise<void> {
    const files: HubFile[] = [];
    for (const name of names) files.push(await this.client.file(this.repository, name));
    this.files.push(...files);
    this.#onProgress = onProgress;
    this.#done = 0;
    this.#total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    const missing: HubFile[] = [];
    for (const file of files) {
      if (await this.store.has(file)) this.#advance(file, file.bytes);
      else missing.push(file);
    }
    if (missing.length > 0) await this.#checkRoom(missing);
    for (const file of missing) await this.#fetchOne(file);
  }

  async #fetchOne(file: HubFile): Promise<void> {
    const { store, signal, options: { onNote = () => {} } } = this;
    const onWait = () => onNote(`Another process fetches ${file.name}; waiting for it.`);
    await withLock(store.lockPath(file), signal, onWait, async () => {
      const content = store.contentPath(file);
      // Another process may have been faster, or another branch may share the file.
      const isHere = await store.has(file) ||
        (store instanceof CacheStore && await sizeOf(content) === file.bytes);
      if (isHere) this.#advance(file, file.bytes);
      else await this.#download(file, content);
      await store.publish(file);
    });
  }

  async #download(file: HubFile, content: string): Promise<void> {
    const { client, store, repository: source, signal, options } = this;
    const partial = await Partial.open(await store.partialPath(file), file.bytes);
    try {
      this.#advance(file, partial.ranges.size);
      await download({
        client,
        source,
        file,
        partial,
        connections: options.connections ?? CONNECTIONS,
        signal,
        patience: options,
        onBytes: (count) => {
          this.fetchedBytes += Math.max(0, count);
          this.#advance(file, count);
        },
      });
      await partial.moveTo(content);
    } finally {
      partial.close();
    }
  }

  #advance(file: HubFile, bytes: number): void {
    this.#done += bytes;
    this.#onProgress?.({
      file: file.name,
      done: this.#done,
      total: this.#total,
      fetched: this.fetchedBytes,
    });
  }

  /** @throws {HubError} when the disk has no room for what is missing */
  async #checkRoom(files: HubFile[]): Promise<void> {
    const { store, options } = this;
    let needed = 0;
    for (const file of files) {
      needed += file.bytes - await allocatedBytes(await store.partialPath(file));
    }
    const free = await (options.freeBytes ?? freeBytes)(store.folder);
    if (free >= needed) return;
    const other = store instanceof CacheStore ? "HF_HUB_CACHE" : "--local-dir";
    throw new HubError(
      `${formatBytes(needed)} are still to come, but the disk of ${store.folder} has room for ` +
        `${formatBytes(free)}: make room, or choose another disk with ${other}.`,
    );
  }
}

/** Bytes that a file with holes takes on the disk. */
async function allocatedBytes(path: string): Promise<number> {
  try {
    const { size, blocks } = await Deno.stat(path);
    return Math.min(size, (blocks ?? 0) * 512);
  } catch {
    return 0;
  }
}

/** What the system says of a folder or a disk, as a sentence. */
function inWords(error: unknown, { cache }: HubSettings): unknown {
  if (!(error instanceof Error) || !/\(os error \d+\)/.test(error.message)) return error;
  if (error.message.includes("(os error 28)")) {
    return new HubError("The disk is full: make room and pull again; what is here is kept.");
  }
  return new HubError(`${error.message.replace(/\.?$/, "")} (models are kept in ${cache}).`);
}
