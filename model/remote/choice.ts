/**
 * Which sidecar answers a request: the one that knows its beginning, unless that one is too busy.
 *
 * Knows rendezvous hashing (Thaler and Ravishankar, 1998) and bounded loads (Mirrokni, Thorup and
 * Zadimoghaddam, 2018). Pure: knows no connection, so a simulation can use it as it is.
 */
import { createHash } from "node:crypto";
import type { GenerateRequest } from "../engine.ts";

export interface Candidate {
  /** By which it is told from the others. */
  readonly url: string;
  /** Requests that it has now. */
  readonly load: number;
  /** Requests that it computes together, where it is known. */
  readonly slots?: number;
}

/** A block of the KV cache: less than that is never shared, so nothing is lost below it. */
const PREFIX_TOKENS = 32;

/** How far above the mean load a preferred sidecar may be. */
const LOAD_FACTOR = 1.25;

/**
 * Part of its slots that it may fill whatever the others do: a busy mean of one would send dialogues
 * away from what is kept of them for nothing (deploy/capacity.md).
 */
const FREE_SHARE = 1 / 4;

/**
 * What requests have in common that should meet on one sidecar: the session, if the client names
 * one, else how the prompt begins.
 */
export function affinityKey(
  { affinity, cacheScope = "", prompt }: Pick<
    GenerateRequest,
    "affinity" | "cacheScope" | "prompt"
  >,
): string {
  return JSON.stringify([cacheScope, affinity ?? prompt.slice(0, PREFIX_TOKENS)]);
}

/**
 * All candidates in the order in which to try them: those with room, the key's own order first;
 * then the others, the least busy first. When a candidate goes, only its own keys move.
 */
export function inOrder<C extends Candidate>(key: string, candidates: readonly C[]): C[] {
  const ranked = candidates
    .map((candidate) => ({ candidate, weight: weight(key, candidate.url) }))
    .sort((a, b) => b.weight - a.weight)
    .map(({ candidate }) => candidate);
  const total = ranked.reduce((sum, { load }) => sum + load, 0);
  const limit = Math.ceil(LOAD_FACTOR * (total + 1) / ranked.length);
  const hasRoom = ({ load, slots = 0 }: C) => load < Math.max(limit, FREE_SHARE * slots);
  return [
    ...ranked.filter(hasRoom),
    ...ranked.filter((candidate) => !hasRoom(candidate)).sort((a, b) => a.load - b.load),
  ];
}

/** 48 bits that look random. */
function weight(key: string, url: string): number {
  return createHash("sha256").update(`${url} ${key}`).digest().readUIntBE(0, 6);
}
