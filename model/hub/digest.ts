/**
 * The hash of a file's content, taken up piece by piece from the beginning.
 *
 * Knows the two hashes the hub gives: SHA-256, and git's SHA-1 of a blob, which is of the size too.
 */
import { createHash, type Hash } from "node:crypto";
import { isSha256 } from "./names.ts";

export class Digest {
  readonly name: "SHA-256" | "git's SHA-1";
  readonly #hash: Hash;

  /** @param expected the hash that the hub names */
  constructor(private readonly expected: string, bytes: number) {
    this.name = isSha256(expected) ? "SHA-256" : "git's SHA-1";
    this.#hash = createHash(isSha256(expected) ? "sha256" : "sha1");
    if (!isSha256(expected)) this.#hash.update(`blob ${bytes}\0`);
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** The hash of everything so far; nothing more can be taken up. */
  found(): { hex: string; isRight: boolean } {
    const hex = this.#hash.digest("hex");
    return { hex, isRight: hex === this.expected };
  }
}
