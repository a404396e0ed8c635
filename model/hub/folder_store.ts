/**
 * A plain folder as the place for a model's files.
 *
 * Knows the notes that the Python client keeps in such a folder, `.cache/huggingface/download`, so
 * that either recognises what the other has fetched. Knows nothing of where content comes from.
 */
import { join } from "node:path";
import type { HubFile } from "./hub_file.ts";
import { Digest } from "./digest.ts";
import { checkFileName } from "./names.ts";
import { plainSize } from "./partial.ts";
import { replaceText, type Store } from "./store.ts";

export class FolderStore implements Store {
  readonly #notes: string;

  constructor(readonly folder: string) {
    this.#notes = join(folder, ".cache", "huggingface", "download");
  }

  /** By the note beside it or, where there is none, by its content. */
  async has(file: HubFile): Promise<boolean> {
    const path = this.contentPath(file);
    if (await plainSize(path) !== file.bytes) return false;
    const noted = await this.#noted(file);
    if (noted !== undefined) return noted === file.hash;
    if (!(await isContent(path, file))) return false;
    await this.publish(file);
    return true;
  }

  async partialPath(file: HubFile): Promise<string> {
    await Deno.mkdir(this.#notes, { recursive: true });
    return join(this.#notes, `${file.hash}.clairon.incomplete`);
  }

  lockPath({ name }: HubFile): string {
    return join(this.#notes, `${checkFileName(name)}.lock`);
  }

  contentPath({ name }: HubFile): string {
    return join(this.folder, checkFileName(name));
  }

  /** Three lines: commit, hash, and a time before which the file was last changed. */
  async publish({ name, commit, hash }: HubFile): Promise<void> {
    await Deno.mkdir(this.#notes, { recursive: true });
    const note = `${commit}\n${hash}\n${Date.now() / 1000}\n`;
    await replaceText(join(this.#notes, `${name}.metadata`), note);
  }

  async finish(): Promise<void> {}

  /** The hash that the note gives; undefined when there is none, or the file was changed since. */
  async #noted(file: HubFile): Promise<string | undefined> {
    try {
      const note = await Deno.readTextFile(join(this.#notes, `${file.name}.metadata`));
      const [, hash, time] = note.split("\n");
      const { mtime } = await Deno.stat(this.contentPath(file));
      const isCurrent = mtime !== null && mtime.getTime() / 1000 - 1 <= Number(time);
      return isCurrent ? hash : undefined;
    } catch {
      return undefined;
    }
  }
}

async function isContent(path: string, file: HubFile): Promise<boolean> {
  const digest = new Digest(file.hash, file.bytes);
  using source = await Deno.open(path);
  const buffer = new Uint8Array(2 ** 20);
  for (let count = await source.read(buffer); count !== null; count = await source.read(buffer)) {
    digest.update(buffer.subarray(0, count));
  }
  return digest.found().isRight;
}
