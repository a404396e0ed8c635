/**
 * Which sidecar gets a turn: the ways that the simulation compares.
 *
 * Knows names, loads and dialogues' keys, as a router does. Knows no time, and nothing of what lies
 * in whose cache.
 */
import { type Chance, hash, mix } from "./chance.ts";

/** A sidecar that lives, as its router sees it. */
export interface Candidate {
  readonly url: string;
  /** Turns that it computes or has waiting. */
  readonly load: number;
}

/**
 * Takes one of the candidates for a turn of the dialogue `key`. There is at least one, always in the
 * same order; a dead one is left out.
 */
export type Policy = <C extends Candidate>(key: string, candidates: readonly C[]) => C;

/** How far above the mean load the favourite of a dialogue may be. */
const LOAD_FACTOR = 1.25;

export const POLICIES = ["rendezvous", "least-loaded", "round-robin", "random"] as const;
export type PolicyName = (typeof POLICIES)[number];

/**
 * A new policy of that name, with its own memory.
 *
 * @param leastLoad for rendezvous: turns that a sidecar takes however few the others have
 */
export function policy(name: PolicyName, chance: Chance, leastLoad: number): Policy {
  switch (name) {
    case "rendezvous":
      return rendezvous(leastLoad);
    case "least-loaded":
      return (_key, candidates) => leastLoaded(candidates, chance);
    case "random":
      return (_key, candidates) => candidates[chance.below(candidates.length)]!;
    case "round-robin": {
      let turn = 0;
      return (_key, candidates) => candidates[turn++ % candidates.length]!;
    }
  }
}

/**
 * Rendezvous hashing (Thaler and Ravishankar 1998) with bounded loads (Mirrokni and others 2018): the
 * candidate with the highest hash of key and address among those that are not too full. When a candidate
 * goes, only its own dialogues move.
 */
function rendezvous(leastLoad: number): Policy {
  const hashes = new Map<string, number>();
  const hashOf = (url: string) => {
    let value = hashes.get(url);
    if (value === undefined) hashes.set(url, value = hash(url));
    return value;
  };
  return (key, candidates) => {
    const total = candidates.reduce((sum, { load }) => sum + load, 0);
    const bound = Math.max(leastLoad, Math.ceil(LOAD_FACTOR * (total + 1) / candidates.length));
    const keyHash = hash(key);
    let best: (typeof candidates)[number] | undefined;
    let bestScore = -1;
    for (const candidate of candidates) {
      if (candidate.load >= bound) continue;
      const score = mix(keyHash ^ hashOf(candidate.url));
      if (score > bestScore) [best, bestScore] = [candidate, score];
    }
    // Somebody is below the mean, and so below the bound.
    return best!;
  };
}

/** Of several that are equal, one by chance: else the first would get all that comes at night. */
function leastLoaded<C extends Candidate>(candidates: readonly C[], chance: Chance): C {
  const least = Math.min(...candidates.map(({ load }) => load));
  const equal = candidates.filter(({ load }) => load === least);
  return equal[chance.below(equal.length)]!;
}
