/**
 * The hash of a file's content, taken up piece by piece from the beginning.
 *
 * Knows the hashes that stand in ETags: SHA-256; git's SHA-1 of a blob, which is of the size too; and,
 * as long, the plain SHA-1 that some mirrors send in its place.
 */
import { createHash, type Hash } from "node:crypto";
import { isSha256 } from "./names.ts";

export class Digest {
  readonly name: "SHA-256" | "git's SHA-1";
  /** The first is what the hub means. */
  readonly #hashes: Hash[];

  /** @param expected the hash that the hub names */
  constructor(private readonly expected: string, bytes: number) {
    if (isSha256(expected)) {
      this.name = "SHA-256";
      this.#hashes = [createHash("sha256")];
    } else {
      this.name = "git's SHA-1";
      this.#hashes = [createHash("sha1").update(`blob ${bytes}\0`), createHash("sha1")];
    }
  }

  update(bytes: Uint8Array): void {
    for (const hash of this.#hashes) hash.update(bytes);
  }

  /** The hash of everything so far; nothing more can be taken up. */
  found(): { hex: string; isRight: boolean } {
    const found = this.#hashes.map((hash) => hash.digest("hex"));
    return { hex: found[0]!, isRight: found.includes(this.expected) };
  }
}
