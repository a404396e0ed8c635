/**
 * A file as the hub describes it, and whether what a server sends can be that file.
 *
 * Knows headers. Knows no route; the content's hash is checked elsewhere.
 */
import { HubError } from "./error.ts";
import { hashFromEtag } from "./names.ts";

export interface HubFile {
  name: string;
  /** SHA-256 or git's SHA-1; also its name in the cache. */
  hash: string;
  bytes: number;
  commit: string;
}

/** What the server sends must be what was asked for, of the file that was meant. */
export function checkReply(
  file: HubFile,
  headers: Headers[],
  response: Response,
  start: number,
  end: number,
): void {
  const linked = header(headers, "x-linked-etag");
  if (linked !== null && hashFromEtag(linked, file.name) !== file.hash) {
    throw mismatch(file, "another hash than before");
  }
  const size = header(headers, "x-linked-size");
  if (size !== null && Number(size) !== file.bytes) throw mismatch(file, `${size} bytes`);
  if (response.status !== 206) {
    const length = response.headers.get("content-length");
    if (length !== null && Number(length) !== file.bytes) throw mismatch(file, `${length} bytes`);
    return;
  }
  const range = response.headers.get("content-range") ?? "";
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range) ?? [];
  if (total !== "*" && Number(total) !== file.bytes) throw mismatch(file, `${total} bytes`);
  if (Number(first) !== start || Number(last) !== end - 1) {
    throw mismatch(file, `bytes ${first} to ${last} for ${start} to ${end - 1}`);
  }
}

/** @returns an error that another try does not cure */
export function mismatch({ name, bytes }: HubFile, found: string): HubError {
  return new HubError(
    `${name} should have ${bytes} bytes as the hub said before, but the server has ${found}. ` +
      "If the model was just changed there, pull again.",
  );
}

export function header(headers: readonly Headers[], name: string): string | null {
  return headers.find((each) => each.has(name))?.get(name) ?? null;
}
