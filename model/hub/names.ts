/**
 * What names and hashes must look like before they become paths or addresses.
 *
 * Knows the hub's rules for repositories, git's for revisions, and the two forms of a file's hash.
 * Knows neither folders nor HTTP.
 */
import { quote } from "../checkpoint/report.ts";
import { isPlainFileName } from "../checkpoint/weight_index.ts";
import { HubError } from "./error.ts";

/** A model on the hub, in one of its branches, tags or commits. */
export interface Source {
  /** "owner/name". */
  repo: string;
  revision: string;
}

export const DEFAULT_REPO = "TheBloke/Claire-7B-0.1-GPTQ";
export const DEFAULT_REVISION = "main";

const LONGEST_REPO = 96;
const LONGEST_REVISION = 200;
/** Begins and ends with a letter, digit or underscore. */
const REPO_PART = /^\w([\w.-]*\w)?$/;
/** Of a branch: git allows more, no branch of a model needs it. */
const REVISION_PART = /^[\w+=@-][\w.+=@-]*$/;
const GIT_SHA1 = /^[0-9a-f]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/**
 * Reads "owner/name", "owner/name:revision" or ":revision".
 *
 * @param revision the one given apart, which must not contradict
 * @throws {HubError} for a name that could not be one
 */
export function parseSource(text: string, revision?: string): Source {
  const [, name, inline] = /^([^:]*)(?::([^]*))?$/.exec(text)!;
  const repo = name || DEFAULT_REPO;
  if (!isRepo(repo)) {
    throw new HubError(
      `A model on the hub is named like ${DEFAULT_REPO}[:revision], found ${quote(text)}.`,
    );
  }
  if (inline !== undefined && revision !== undefined && inline !== revision) {
    throw new HubError(
      `The revision is given twice: ${quote(inline)} and ${quote(revision)}; give one.`,
    );
  }
  const chosen = inline ?? revision ?? DEFAULT_REVISION;
  if (!isRevision(chosen)) {
    throw new HubError(
      `A revision is the name of a branch or tag, or a commit, found ${quote(chosen)}.`,
    );
  }
  return { repo, revision: chosen };
}

/** Whether the text could name a model on the hub, with or without a revision. */
export function looksLikeSource(text: string): boolean {
  const [repo, revision = DEFAULT_REVISION, ...more] = text.split(":");
  return more.length === 0 && repo!.includes("/") && isRepo(repo!) && isRevision(revision);
}

export function isRepo(text: string): boolean {
  const parts = text.split("/");
  return text.length <= LONGEST_REPO && parts.length <= 2 &&
    parts.every((part) => REPO_PART.test(part)) && !/--|\.\.|\.git$/.test(text);
}

export function isRevision(text: string): boolean {
  return text.length <= LONGEST_REVISION && !text.includes("..") &&
    text.split("/").every((part) => REVISION_PART.test(part) && !/\.(lock)?$/.test(part));
}

/** The 40 hexadecimal digits of a commit. */
export function isCommit(text: string): boolean {
  return GIT_SHA1.test(text);
}

/**
 * A file's hash as it stands in an ETag: SHA-256 for what git keeps elsewhere (LFS), git's own SHA-1
 * for what it keeps itself.
 *
 * @throws {HubError} for anything else, since the cache names files by it
 */
export function hashFromEtag(header: string | null, file: string): string {
  const hash = (header ?? "").replace(/^W\//, "").replace(/^"(.*)"$/, "$1");
  if (GIT_SHA1.test(hash) || SHA256.test(hash)) return hash;
  throw new HubError(
    `The hub names no usable hash for ${file}: 40 or 64 hexadecimal digits were expected, ` +
      `found ${quote(header ?? undefined)}.`,
  );
}

/** Whether the hash is a SHA-256 of the content; else it is git's SHA-1. */
export function isSha256(hash: string): boolean {
  return SHA256.test(hash);
}

/** @throws {HubError} for a name that could leave its folder */
export function checkFileName(name: string): string {
  if (isPlainFileName(name) && !/\p{Cc}/u.test(name)) return name;
  throw new HubError(`A file of a model has a plain name, found ${quote(name)}.`);
}
