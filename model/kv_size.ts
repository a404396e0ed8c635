/**
 * How many bytes the KV cache gets where nobody says.
 *
 * Knows what others take of a card, and what a cache can be used for. Knows no adapter.
 */
import type { FalconConfig } from "./config.ts";
import { BLOCK_TOKENS, kvBytesPerToken } from "./kv_cache.ts";

/** The most: further ones must be asked for. */
const MOST = 2 ** 31;

/** Of a card whose size nobody tells. */
const UNKNOWN_CARD = 2 ** 30;

/** Of a card's memory, for weights and cache; the rest is for logits, driver and screen. */
const SHARE_OF_CARD = 0.85;

export interface Room {
  /** Sequences computed together, and the longest of them. */
  slots: number;
  maxPositions: number;
  /** The card's memory in all, where it is known. */
  cardBytes: number | undefined;
  /** Bytes of it that are taken already. */
  takenBytes: number;
  /** Largest part of a buffer that one kernel may see. */
  maxBindingBytes: number;
  /** Whether the "card" is a CPU: there the cache is kept small. */
  software: boolean;
}

/**
 * What is left of the card, but no more than all slots can fill, and no more than one binding shows:
 * the persistent path needs the whole cache in one. At least one sequence of full length.
 */
export function defaultKvBytes(config: FalconConfig, room: Room): number {
  const { slots, maxPositions, cardBytes, takenBytes, maxBindingBytes, software } = room;
  const blockBytes = BLOCK_TOKENS * kvBytesPerToken(config);
  const one = Math.ceil(maxPositions / BLOCK_TOKENS) * blockBytes;
  if (software) return one;
  const left = cardBytes === undefined ? UNKNOWN_CARD : cardBytes * SHARE_OF_CARD - takenBytes;
  return Math.max(one, Math.min(left, slots * one, maxBindingBytes, MOST));
}
