/**
 * Where a model's files go: Hugging Face's cache, laid out as its Python client does it.
 *
 *   models--owner--name/blobs/HASH                      the content, once
 *                       snapshots/COMMIT/NAME           a relative link to it
 *                       refs/REVISION                   the commit that a branch stood for
 *   .locks/models--owner--name/HASH.lock                held while a blob is made
 *
 * Knows the layout; knows nothing of where content comes from.
 */
import { dirname, join } from "node:path";
import type { HubFile } from "./hub_file.ts";
import { checkFileName, isCommit, isRevision, type Source } from "./names.ts";

/** A place for the files of one commit. */
export interface Store {
  /** The folder that holds the files under their own names. */
  readonly folder: string;
  /** Whether the file is here, whole. */
  has(file: HubFile): Promise<boolean>;
  /** Where its bytes gather, in a folder that exists. */
  partialPath(file: HubFile): Promise<string>;
  lockPath(file: HubFile): string;
  /** Where the complete file is moved to. */
  contentPath(file: HubFile): string;
  /** Puts a complete file under its name. */
  publish(file: HubFile): Promise<void>;
  /** All files are here. */
  finish(): Promise<void>;
}

/** A repository's folder in the cache. */
export function repoFolder(cache: string, repo: string): string {
  return join(cache, repoFolderName(repo));
}

function repoFolderName(repo: string): string {
  return `models--${repo.replaceAll("/", "--")}`;
}

/** The commit that the cache has for a revision; undefined when there is none. */
export async function cachedCommit(cache: string, source: Source): Promise<string | undefined> {
  const { repo, revision } = source;
  if (isCommit(revision)) return revision;
  if (!isRevision(revision)) return undefined;
  try {
    const text = await Deno.readTextFile(join(repoFolder(cache, repo), "refs", revision));
    return isCommit(text.trim()) ? text.trim() : undefined;
  } catch {
    return undefined;
  }
}

export function snapshotFolder(cache: string, repo: string, commit: string): string {
  return join(repoFolder(cache, repo), "snapshots", commit);
}

export class CacheStore implements Store {
  readonly folder: string;
  readonly #repoFolder: string;

  /** Names are checked before they get here: see `names.ts`. */
  constructor(
    private readonly cache: string,
    private readonly source: Source,
    private readonly commit: string,
  ) {
    this.#repoFolder = repoFolder(cache, source.repo);
    this.folder = snapshotFolder(cache, source.repo, commit);
  }

  /** A blob is named by its hash, which was checked when it was made. */
  async has(file: HubFile): Promise<boolean> {
    const path = join(this.folder, checkFileName(file.name));
    return await sizeOf(path) === file.bytes && await this.#isOf(path, file);
  }

  async partialPath(file: HubFile): Promise<string> {
    const blobs = join(this.#repoFolder, "blobs");
    await Deno.mkdir(blobs, { recursive: true });
    // Not the Python client's own name: it would take a file with holes for a beginning.
    return join(blobs, `${file.hash}.clairon.incomplete`);
  }

  lockPath({ hash }: HubFile): string {
    return join(this.cache, ".locks", repoFolderName(this.source.repo), `${hash}.lock`);
  }

  contentPath({ hash }: HubFile): string {
    return join(this.#repoFolder, "blobs", hash);
  }

  async publish(file: HubFile): Promise<void> {
    const path = join(this.folder, checkFileName(file.name));
    await Deno.mkdir(this.folder, { recursive: true });
    const link = `${path}.${crypto.randomUUID().slice(0, 8)}.link`;
    try {
      await Deno.symlink(join("..", "..", "blobs", file.hash), link);
      await Deno.rename(link, path);
    } catch {
      // File systems without links hold the file itself, as the Python client does it.
      await Deno.remove(link).catch(() => {});
      await Deno.rename(this.contentPath(file), path);
    }
  }

  /** Written last: offline, the branch stays at the last commit that was here whole. */
  async finish(): Promise<void> {
    const { revision } = this.source;
    if (revision === this.commit) return;
    const path = join(this.#repoFolder, "refs", revision);
    if (await cachedCommit(this.cache, this.source) === this.commit) return;
    await Deno.mkdir(dirname(path), { recursive: true });
    await replaceText(path, this.commit);
  }

  /** Whether the path leads to the blob of that hash; where there are no links, any file does. */
  async #isOf(path: string, { hash }: HubFile): Promise<boolean> {
    const { isSymlink } = await Deno.lstat(path);
    if (!isSymlink) return true;
    return (await Deno.readLink(path)).replaceAll("\\", "/").endsWith(`/${hash}`);
  }
}

/** The size of what is at the path, links followed; undefined when there is nothing. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const { isFile, size } = await Deno.stat(path);
    return isFile ? size : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Writes a small file so that no reader sees half of it. */
export async function replaceText(path: string, text: string): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  await Deno.writeTextFile(temporary, text, { createNew: true });
  await Deno.rename(temporary, path);
}
