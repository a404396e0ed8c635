/**
 * The race of a row among the few tokens of a list, as WGSL text that kernels put before their own:
 * the sums are added in the order in which `race.ts` adds them, but for zeros.
 *
 * Knows the tree in which a chunk's tokens meet there. It is no kernel and has no bindings;
 * `RACE` and `OUTCOME` come before it.
 */
import { MOST_CANDIDATES } from "./shortlist.ts";

/** Racers compared at once: WGSL's loops are not unrolled. */
const BEFORE = Array.from(
  { length: 8 },
  (_, i) => `
    before += select(0u, 1u, places[i + ${i}u] < place);`,
).join("");

export const LIST_RACE = `
const RACERS = ${MOST_CANDIDATES}u;

var<workgroup> places: array<u32, RACERS>; // of the racers; all ones where there is none
var<workgroup> heirs: array<u32, RACERS>; // the next racer that has not lost yet

// A chunk's threads and their tokens meet in a tree: first a thread's own tokens, then threads that
// differ in their highest bit, and so on. Racers in the order of these places meet neighbours.
const PLACES_OF_THREAD = 3u; // bits
const PLACES_OF_CHUNK = 11u;

fn place_of(id: u32) -> u32 {
  let in_chunk = id % TOKENS_PER_CHUNK;
  let thread = reverseBits(in_chunk % THREADS) >> 21u; // eight bits, above the tokens' three
  return (id / TOKENS_PER_CHUNK << PLACES_OF_CHUNK) | thread | in_chunk / THREADS;
}

// How many of the list run before this one.
fn racers_before(place: u32, length: u32) -> u32 {
  var before = 0u;
  for (var i = 0u; i < length; i += 8u) {${BEFORE}
  }
  return before;
}

// The winner of racers that lie in \`runners_of_chunk\`, in the order of their places; for thread 0.
fn winner_of_list(length: u32, thread: u32) -> Runner {
  if (thread < RACERS) {
    heirs[thread] = thread + 1u;
  }
  for (var bits = PLACES_OF_THREAD; bits <= PLACES_OF_CHUNK; bits++) {
    workgroupBarrier();
    let place = places[min(thread, RACERS - 1u)] >> bits;
    if (thread < length && (thread == 0u || places[thread - 1u] >> bits != place)) {
      var next = heirs[thread];
      while (next < length && places[next] >> bits == place) {
        runners_of_chunk[thread] = faster(runners_of_chunk[thread], runners_of_chunk[next]);
        next = heirs[next];
      }
      heirs[thread] = next;
    }
  }
  workgroupBarrier();
  var winner = runners_of_chunk[0];
  if (thread == 0u) {
    for (var next = heirs[0]; next < length; next = heirs[next]) {
      winner = overtake(winner, runners_of_chunk[next]);
    }
  }
  return winner;
}
`;
