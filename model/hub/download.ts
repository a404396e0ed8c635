/**
 * One file from the hub: several connections, each with a range, and the hash taken along the way.
 *
 * Knows who fetches which range and what happens when one breaks. Knows no folder and no model.
 */
import { Backoff, type Patience, Transient } from "./backoff.ts";
import type { HubClient } from "./client.ts";
import { type HubFile, mismatch } from "./hub_file.ts";
import { Digest } from "./digest.ts";
import { HubError } from "./error.ts";
import type { Source } from "./names.ts";
import type { Partial } from "./partial.ts";
import { type Range, Ranges } from "./ranges.ts";

/** One request's range: large files get ranges of the most, small ones one for each connection. */
const LEAST_PIECE = 2 ** 20;
const MOST_PIECE = 32 * 2 ** 20;
/** A killed process loses at most so many bytes of each connection, or seconds. */
const RECORD_BYTES = 2 ** 17;
const RECORD_SECONDS = 0.5;
/** Times that a server which sends only whole files may be cut off. */
const MOST_WHOLES = 5;

export interface DownloadOptions {
  client: HubClient;
  source: Source;
  file: HubFile;
  partial: Partial;
  /** At the same time, at most. */
  connections: number;
  signal: AbortSignal;
  patience: Patience;
  /** Told of bytes that came in, and of those lost, as a negative number. */
  onBytes(count: number): void;
}

/** The server sends whole files only. */
class NoRanges extends Error {}

/**
 * Fills `partial` and checks its hash.
 *
 * @throws {HubError} when the content is not what the hub's hash says; the bytes are thrown away
 * @throws the signal's reason; the bytes are kept
 */
export async function download(options: DownloadOptions): Promise<void> {
  const { file, partial, onBytes, connections } = options;
  const share = Math.ceil(file.bytes / connections);
  const most = Math.min(MOST_PIECE, Math.max(LEAST_PIECE, share));
  let pieces = partial.ranges.missing(file.bytes, most);
  let isFresh = partial.ranges.size === 0;
  for (let wholes = 0;;) {
    try {
      return await fetchAndHash(options, pieces);
    } catch (error) {
      if (error instanceof WrongHash) {
        // What an earlier process left may be damaged, by a power cut say: once from the beginning.
        if (isFresh) {
          await partial.discard();
          throw error;
        }
        isFresh = true;
        pieces = new Ranges().missing(file.bytes, most);
      } else if (error instanceof NoRanges) {
        if (++wholes > MOST_WHOLES) {
          throw new HubError(`The server breaks off ${file.name} and cannot go on in its middle.`);
        }
        pieces = [{ start: 0, end: file.bytes }];
      } else throw error;
      onBytes(-partial.ranges.size);
      await partial.reset();
    }
  }
}

class WrongHash extends HubError {}

async function fetchAndHash(options: DownloadOptions, pieces: Range[]): Promise<void> {
  const { file, partial, connections } = options;
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const digest = new Digest(file.hash, file.bytes);
  const hash = async () => {
    for await (const bytes of partial.inOrder(signal)) digest.update(bytes);
  };
  const work = async () => {
    for (let piece = pieces.shift(); piece; piece = pieces.shift()) {
      await fetchPiece(piece, { ...options, signal });
    }
  };
  const workers = Array.from({ length: Math.min(connections, pieces.length) }, work);
  // The first failure stops the others, and is the one to tell of.
  let reason: unknown;
  await Promise.all([hash(), ...workers].map((each) =>
    each.catch((error) => {
      if (!failed.signal.aborted) reason = error;
      failed.abort(error);
    })
  ));
  options.signal.throwIfAborted();
  if (failed.signal.aborted) throw reason;
  const { hex, isRight } = digest.found();
  if (isRight) return;
  throw new WrongHash(
    `${file.name}: ${digest.name} should be ${file.hash}, found ${hex}: what came is not the file ` +
      "the hub names, and was thrown away. Pull again; if it stays so, tell the hub.",
  );
}

/** Fetches a range, as often as it takes. */
async function fetchPiece(piece: Range, options: DownloadOptions): Promise<void> {
  const { signal, patience } = options;
  const backoff = new Backoff(patience, signal);
  let { start } = piece;
  while (start < piece.end) {
    const begun = start;
    try {
      start = await fetchOnce({ start, end: piece.end }, options);
    } catch (error) {
      if (error instanceof Cut) start = error.at;
      if (start > begun) backoff.succeeded();
      await backoff.failed(error instanceof Cut ? error.cause : error);
    }
  }
}

/** A response that ended before its range did. */
class Cut extends Error {
  constructor(readonly at: number, override readonly cause: unknown) {
    super();
  }
}

/** @returns the end of what was written */
async function fetchOnce({ start, end }: Range, options: DownloadOptions): Promise<number> {
  const { client, source, file, partial, signal, onBytes } = options;
  const { pieces, whole } = await client.range(source, file, start, end, signal);
  if (whole && !(start === 0 && end === file.bytes)) {
    await pieces.return(undefined);
    throw new NoRanges();
  }
  using writer = await partial.writer(start);
  let at = start, recorded = start, time = performance.now();
  let failure: unknown = new Transient(`${file.name} ended early`);
  try {
    for await (const bytes of pieces) {
      if (at + bytes.length > end) throw mismatch(file, "more");
      await writeAll(writer, bytes);
      at += bytes.length;
      onBytes(bytes.length);
      const now = performance.now();
      if (at - recorded < RECORD_BYTES && now - time < RECORD_SECONDS * 1000) continue;
      partial.record({ start: recorded, end: at });
      recorded = at;
      time = now;
    }
  } catch (error) {
    failure = error;
  }
  partial.record({ start: recorded, end: at });
  if (at === end) return at;
  throw new Cut(at, failure);
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}
