/** Who gets a turn: what each policy promises. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { Chance } from "../../../model/simulate/chance.ts";
import { type Candidate, POLICIES, policy } from "../../../model/simulate/policies.ts";

const LEAST = 8;
const named = (name: (typeof POLICIES)[number]) => policy(name, new Chance(1, name), LEAST);
const fleet = (count: number, load = 0): Candidate[] =>
  Array.from({ length: count }, (_, i) => ({ url: `sidecar-${i}`, load }));
const keys = Array.from({ length: 10_000 }, (_, i) => `dialogue-${i}`);

Deno.test("rendezvous: even, and a death moves its own dialogues alone, evenly", () => {
  const choose = named("rendezvous");
  const before = keys.map((key) => choose(key, fleet(10)).url);
  const rest = fleet(10).filter(({ url }) => url !== "sidecar-3");
  const after = keys.map((key) => choose(key, rest).url);
  const moved = new Map<string, number>();
  for (const [i, id] of before.entries()) {
    if (id !== "sidecar-3") assert.equal(after[i], id);
    else moved.set(after[i]!, (moved.get(after[i]!) ?? 0) + 1);
  }
  for (const { url: id } of fleet(10)) {
    const share = before.filter((chosen) => chosen === id).length;
    // 1000 expected, 30 a standard deviation.
    assert(Math.abs(share - 1000) < 130, `${id} has ${share}`);
  }
  assert.equal(moved.size, 9);
  for (const count of moved.values()) assert(Math.abs(count - 111) < 50, `${count}`);
});

Deno.test("rendezvous: nobody far above the mean gets more; then always the same second", () => {
  const choose = named("rendezvous");
  const loads = fc.array(fc.nat(200), { minLength: 1, maxLength: 30 });
  fc.assert(fc.property(loads, fc.string(), (loads, key) => {
    const candidates = loads.map((load, i) => ({ url: `${i}`, load }));
    const chosen = choose(key, candidates);
    const mean = (loads.reduce((sum, load) => sum + load, 0) + 1) / loads.length;
    assert(chosen.load < Math.max(LEAST, Math.ceil(1.25 * mean)));
    assert.equal(choose(key, candidates), chosen);
    // Only being too full takes a turn away from the favourite of an idle fleet.
    const favourite = choose(key, candidates.map(({ url }) => ({ url, load: 0 })));
    const load = candidates.find(({ url }) => url === favourite.url)!.load;
    if (load < LEAST) assert.equal(chosen.url, favourite.url);
  }));
});

Deno.test("least loaded takes one of the least; round robin takes turns; random takes all", () => {
  const least = named("least-loaded");
  fc.assert(fc.property(fc.array(fc.nat(9), { minLength: 1 }), (loads) => {
    const candidates = loads.map((load, i) => ({ url: `${i}`, load }));
    assert.equal(least("key", candidates).load, Math.min(...loads));
  }));
  const robin = named("round-robin");
  const ids = keys.slice(0, 6).map((key) => robin(key, fleet(3)).url);
  assert.deepEqual(ids, [0, 1, 2, 0, 1, 2].map((i) => `sidecar-${i}`));
  for (const name of ["random", "least-loaded"] as const) {
    const choose = named(name);
    const counts = new Map<string, number>();
    for (const key of keys) {
      const { url: id } = choose(key, fleet(10));
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    for (const count of counts.values()) assert(Math.abs(count - 1000) < 130, `${name} ${count}`);
  }
});
