/**
 * Token ids to text, one token at a time, never showing half a character.
 *
 * Knows the byte-level vocabulary: how a token's printable spelling stands for bytes, and that a
 * character may be spread over several tokens. Knows no encoding of text and no stop string.
 */

/**
 * GPT-2's spelling of the 256 bytes: printable Latin-1 characters stand for themselves, every other
 * byte takes the next free character from U+0100 on, so that a vocabulary file holds no control
 * character and no space.
 */
export const BYTE_CHARACTERS: readonly string[] = byteCharacters();

function byteCharacters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCharCode(printable ? byte : next++);
  });
}

const CHARACTER_BYTES = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));
const UTF8 = new TextEncoder();

/** The bytes of every token, built once for a vocabulary. */
export class ByteTable {
  /** All tokens' bytes, one after the other. */
  readonly #bytes: Uint8Array<ArrayBuffer>;
  /** Where each token's bytes begin, (vocab + 1). */
  readonly #starts: Uint32Array;

  /**
   * @param pieces spelling of each id; a hole where the vocabulary skips an id
   * @param plain ids whose spelling is ordinary text (added tokens), not byte characters
   */
  constructor(pieces: readonly (string | undefined)[], plain: ReadonlySet<number>) {
    const tokens = Array.from(
      pieces,
      (piece = "", id) => plain.has(id) ? UTF8.encode(piece) : bytesOf(piece),
    );
    this.#starts = new Uint32Array(tokens.length + 1);
    tokens.forEach((bytes, id) => this.#starts[id + 1] = this.#starts[id]! + bytes.length);
    this.#bytes = new Uint8Array(this.#starts[tokens.length]!);
    tokens.forEach((bytes, id) => this.#bytes.set(bytes, this.#starts[id]!));
  }

  /** The token's bytes; none for an id that the vocabulary does not have. */
  of(id: number): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(this.#starts[id] ?? 0, this.#starts[id + 1] ?? 0);
  }
}

/** A spelling with a character outside the map was never byte-level: it stands for its own text. */
function bytesOf(piece: string): Uint8Array {
  const bytes = new Uint8Array(piece.length);
  for (let i = 0; i < piece.length; i++) {
    const byte = CHARACTER_BYTES.get(piece[i]!);
    if (byte === undefined) return UTF8.encode(piece);
    bytes[i] = byte;
  }
  return bytes;
}

/** Decodes one answer. What it returns, put together, is the decoding of all its ids at once. */
export class Detokenizer {
  // A U+FEFF inside an answer is text like any other, so the decoder must not swallow it.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #table: ByteTable;
  readonly #skipped: ReadonlySet<number>;

  /** @param skipped ids that give no text, such as the end-of-text token */
  constructor(table: ByteTable, skipped: ReadonlySet<number> = new Set()) {
    this.#table = table;
    this.#skipped = skipped;
  }

  /** The text that this token makes certain; "" while a character is unfinished. */
  push(id: number): string {
    if (this.#skipped.has(id)) return "";
    return this.#decoder.decode(this.#table.of(id), { stream: true });
  }

  /** Ends the answer: U+FFFD if it stops inside a character, else "". */
  flush(): string {
    return this.#decoder.decode();
  }
}
