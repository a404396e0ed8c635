/**
 * Which bytes of a file are there, and the text that remembers it.
 *
 * Knows ranges of whole numbers, from a start up to but not including an end. Knows no file.
 */
export interface Range {
  start: number;
  end: number;
}

/** Ranges that do not touch, in order. */
export class Ranges {
  #ranges: Range[] = [];

  add(start: number, end: number): void {
    if (end <= start) return;
    const before = this.#ranges.filter((range) => range.end < start);
    const after = this.#ranges.filter((range) => range.start > end);
    const touched = this.#ranges.slice(before.length, this.#ranges.length - after.length);
    const joined = {
      start: Math.min(start, ...touched.map((range) => range.start)),
      end: Math.max(end, ...touched.map((range) => range.end)),
    };
    this.#ranges = [...before, joined, ...after];
  }

  clear(): void {
    this.#ranges = [];
  }

  /** Bytes from the beginning without a gap. */
  get prefix(): number {
    const [first] = this.#ranges;
    return first?.start === 0 ? first.end : 0;
  }

  /** Bytes in all. */
  get size(): number {
    return this.#ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** What is missing of a file, in order, in pieces of at most `most` bytes. */
  missing(bytes: number, most: number): Range[] {
    const pieces: Range[] = [];
    let at = 0;
    for (const { start, end } of [...this.#ranges, { start: bytes, end: bytes }]) {
      for (; at < start; at = Math.min(at + most, start)) {
        pieces.push({ start: at, end: Math.min(at + most, start) });
      }
      at = end;
    }
    return pieces;
  }
}

/** The journal's first line; its others are `rangeLine`s. */
export function journalHead(bytes: number): string {
  return `clairon ${bytes}\n`;
}

export function rangeLine({ start, end }: Range): string {
  return `${start} ${end}\n`;
}

/**
 * Reads a journal as far as it is whole: a process that was killed may have left half a line.
 *
 * @returns undefined when it is of another file
 */
export function parseJournal(text: string, bytes: number): Range[] | undefined {
  if (!text.startsWith(journalHead(bytes))) return undefined;
  const ranges: Range[] = [];
  for (const line of text.split("\n").slice(1, -1)) {
    const [, start, end] = /^(\d{1,15}) (\d{1,15})$/.exec(line) ?? [];
    const range = { start: Number(start), end: Number(end) };
    if (!(range.start < range.end && range.end <= bytes)) break;
    ranges.push(range);
  }
  return ranges;
}
