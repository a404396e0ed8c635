/**
 * Bytes at a place in a file.
 *
 * Knows how to open, read and close files, and turns what the system says into one sentence. Reads of
 * one file wait for each other, because the place to read from belongs to the file and not to the
 * reader. Knows no format of weights.
 */

import type { CheckpointError } from "./error.ts";
import { quote, unreadable, wrong } from "./report.ts";

/** A settings file larger than this is none. */
const LARGEST_JSON = 100_000_000;

/** Opens a plain file; undefined when there is nothing at `path`. */
export async function openFile(path: string): Promise<Deno.FsFile | undefined> {
  try {
    const { isFile, isDirectory } = await Deno.stat(path);
    if (isDirectory) throw new Deno.errors.IsADirectory();
    // A pipe would block for ever on opening.
    if (!isFile) throw new Deno.errors.NotSupported("not a plain file");
    return await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw unreadable(path, error);
  }
}

/** The bytes from `offset` on, `length` of them. */
export async function readExactly(
  file: Deno.FsFile,
  path: string,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  await fill(file, path, offset, bytes);
  return bytes;
}

/** The parsed content of a JSON file; undefined when there is nothing at `path`. */
export async function readJson(path: string): Promise<unknown> {
  const file = await openFile(path);
  if (file === undefined) return undefined;
  try {
    const { size } = await file.stat();
    if (size > LARGEST_JSON) {
      throw wrong(path, "this", `a JSON file below ${LARGEST_JSON} bytes`, `${size}`);
    }
    const bytes = await readExactly(file, path, 0, size);
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) {
      throw wrong(path, "the content", "JSON in UTF-8", quote(error.message));
    }
    throw error;
  } finally {
    file.close();
  }
}

/** An open file of weights. */
export class WeightFile {
  #turn: Promise<void> = Promise.resolve();

  constructor(readonly path: string, readonly file: Deno.FsFile) {}

  /**
   * Fills `bytes` from `offset` on.
   *
   * @throws {CheckpointError} when the file ends before, or the system cannot read it
   */
  read(offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const done = this.#turn.then(() => fill(this.file, this.path, offset, bytes));
    this.#turn = done.catch(() => {});
    return done;
  }

  close(): void {
    this.file.close();
  }
}

async function fill(
  file: Deno.FsFile,
  path: string,
  offset: number,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  let filled = 0;
  try {
    await file.seek(offset, Deno.SeekMode.Start);
    while (filled < bytes.length) {
      const count = await file.read(bytes.subarray(filled));
      if (count === null) break;
      filled += count;
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  if (filled < bytes.length) throw cut(path, offset + bytes.length, offset + filled);
}

function cut(path: string, expected: number, found: number): CheckpointError {
  const what = `at least ${expected} bytes long, as it was when it was opened`;
  return wrong(path, "the file", what, `its end at byte ${found}`);
}
