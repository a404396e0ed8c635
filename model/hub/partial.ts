/**
 * A file on its way: its bytes so far, and a journal of which ones they are.
 *
 * Bytes are written before the journal says so; whatever ends the process, the journal never says
 * too much, and the next process goes on from there. Knows nothing of where bytes come from.
 */
import { journalHead, parseJournal, type Range, rangeLine, Ranges } from "./ranges.ts";

/** Read at a time for the hash. */
const READ_BYTES = 2 ** 20;

export class Partial {
  readonly ranges = new Ranges();
  #journal: Deno.FsFile;
  #grown: (() => void)[] = [];

  private constructor(
    /** Where the bytes are. */
    readonly path: string,
    private readonly journalPath: string,
    readonly bytes: number,
    journal: Deno.FsFile,
  ) {
    this.#journal = journal;
  }

  /**
   * Takes up what an earlier process left, or begins.
   *
   * @param path of the bytes; the journal lies beside it
   * @param bytes of the whole file
   */
  static async open(path: string, bytes: number): Promise<Partial> {
    const journalPath = `${path}.ranges`;
    const kept = await keptRanges(path, journalPath, bytes);
    if (kept === undefined) {
      await remove(path, journalPath);
      (await Deno.open(path, { createNew: true, write: true })).close();
    }
    const ranges = kept ?? [];
    // Written anew, since the last line may be half a one.
    await remove(`${journalPath}.new`);
    const lines = journalHead(bytes) + ranges.map(rangeLine).join("");
    await Deno.writeTextFile(`${journalPath}.new`, lines, { createNew: true });
    await Deno.rename(`${journalPath}.new`, journalPath);
    const journal = await Deno.open(journalPath, { append: true });
    const partial = new Partial(path, journalPath, bytes, journal);
    for (const { start, end } of ranges) partial.ranges.add(start, end);
    return partial;
  }

  /** Opens the file to be written from `start` on. */
  async writer(start: number): Promise<Deno.FsFile> {
    const file = await Deno.open(this.path, { write: true });
    await file.seek(start, Deno.SeekMode.Start);
    return file;
  }

  /** Remembers that these bytes are written. */
  record(range: Range): void {
    if (range.start === range.end) return;
    this.#log(rangeLine(range));
    this.ranges.add(range.start, range.end);
    for (const wake of this.#grown.splice(0)) wake();
  }

  /**
   * The bytes from the beginning, in order, as they come in.
   *
   * @throws the signal's reason when it is aborted
   */
  async *inOrder(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    using file = await Deno.open(this.path);
    const buffer = new Uint8Array(READ_BYTES);
    let at = 0;
    while (at < this.bytes) {
      signal.throwIfAborted();
      const ready = this.ranges.prefix - at;
      if (ready <= 0) {
        await this.#change(signal);
        continue;
      }
      const count = await file.read(buffer.subarray(0, Math.min(ready, READ_BYTES)));
      if (count === null) throw new Error(`${this.path} was cut by another program.`);
      yield buffer.subarray(0, count);
      at += count;
    }
  }

  /** Forgets every byte. */
  async reset(): Promise<void> {
    this.ranges.clear();
    await this.#journal.truncate(0);
    this.#log(journalHead(this.bytes));
  }

  /** Moves the complete file to its place, in one step. */
  async moveTo(path: string): Promise<void> {
    const file = await Deno.open(this.path, { write: true });
    try {
      // A power cut after the rename must not leave a file without its bytes.
      await file.sync();
    } finally {
      file.close();
    }
    await Deno.rename(this.path, path);
    this.close();
    await remove(this.journalPath);
  }

  async discard(): Promise<void> {
    this.close();
    await remove(this.path, this.journalPath);
  }

  close(): void {
    try {
      this.#journal.close();
    } catch {
      // It was closed before.
    }
  }

  /** At once, so that lines of several connections do not mix. */
  #log(line: string): void {
    this.#journal.writeSync(new TextEncoder().encode(line));
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = () => reject(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
      this.#grown.push(() => {
        signal.removeEventListener("abort", stop);
        resolve();
      });
    });
  }
}

/** What the journal says is there; undefined when there is none, or nothing it could be true of. */
async function keptRanges(
  path: string,
  journalPath: string,
  bytes: number,
): Promise<Range[] | undefined> {
  const size = await plainSize(path);
  if (size === undefined || await plainSize(journalPath) === undefined) return undefined;
  const ranges = parseJournal(await Deno.readTextFile(journalPath), bytes);
  return ranges?.every(({ end }) => end <= size) ? ranges : undefined;
}

/** A file's size; undefined when there is none, or something else: a link may lead anywhere. */
export async function plainSize(path: string): Promise<number | undefined> {
  try {
    const { isFile, size } = await Deno.lstat(path);
    return isFile ? size : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function remove(...paths: string[]): Promise<void> {
  for (const path of paths) {
    await Deno.remove(path).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}
