/** Which sidecar: steady for a key, spread over keys, and bounded by load. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { affinityKey, inOrder } from "../../../model/remote/choice.ts";

function idle(count: number) {
  return Array.from({ length: count }, (_, i) => ({ url: `http://s${i}:8080`, load: 0 }));
}

const KEYS = Array.from({ length: 3000 }, (_, i) => `key ${i}`);

Deno.test("the order of a key depends on neither the list's order nor who else is there", () => {
  fc.assert(fc.property(fc.string(), fc.integer({ min: 2, max: 9 }), (key, count) => {
    const all = inOrder(key, idle(count)).map(({ url }) => url);
    assert.deepEqual(inOrder(key, idle(count).reverse()).map(({ url }) => url), all);
    const gone = all[0];
    const rest = inOrder(key, idle(count).filter(({ url }) => url !== gone)).map(({ url }) => url);
    assert.deepEqual(rest, all.slice(1));
  }));
});

Deno.test("keys spread evenly, and a sidecar more takes only its share of them", () => {
  const firsts = (count: number) => KEYS.map((key) => inOrder(key, idle(count))[0]!.url);
  const three = firsts(3);
  for (const { url } of idle(3)) {
    const share = three.filter((first) => first === url).length / KEYS.length;
    assert.ok(Math.abs(share - 1 / 3) < 0.04, `${url}: ${share}`);
  }
  const four = firsts(4);
  const moved = KEYS.filter((_, i) => four[i] !== three[i]);
  assert.ok(Math.abs(moved.length / KEYS.length - 1 / 4) < 0.04);
  assert.ok(KEYS.every((_, i) => four[i] === three[i] || four[i] === "http://s3:8080"));
});

Deno.test("a sidecar that is clearly busier is passed over, and comes after those with room", () => {
  for (const key of KEYS.slice(0, 50)) {
    const [first, second] = inOrder(key, idle(3)).map(({ url }) => url);
    const loaded = (load: number) =>
      idle(3).map(({ url }) => ({ url, load: url === first ? load : 3 }));
    // Mean of 3 and one request more: at most ceil(1.25 · 10 / 3) = 5 are to be there afterwards.
    assert.equal(inOrder(key, loaded(3))[0]!.url, first);
    const passed = inOrder(key, loaded(8)).map(({ url }) => url);
    assert.equal(passed[0], second);
    assert.equal(passed.at(-1), first);
  }
});

Deno.test("a quarter of its slots a sidecar fills with its own dialogues, however idle the others", () => {
  const [first] = inOrder("key", idle(3)).map(({ url }) => url);
  const loaded = (load: number) =>
    idle(3).map(({ url }) => ({ url, slots: 128, load: url === first ? load : 0 }));
  assert.equal(inOrder("key", loaded(31))[0]!.url, first);
  assert.notEqual(inOrder("key", loaded(32))[0]!.url, first);
});

Deno.test("whatever the keys, no load goes far above the mean", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom("a", "b", "c", "d"), { minLength: 1, maxLength: 60 }),
      (keys) => {
        const candidates = idle(3);
        for (const key of keys) inOrder(key, candidates)[0]!.load++;
        const most = Math.max(...candidates.map(({ load }) => load));
        assert.ok(most <= Math.ceil(1.25 * keys.length / 3), `${most} of ${keys.length}`);
      },
    ),
  );
});

Deno.test("a key is the session, else the first block of the prompt, and never crosses scopes", () => {
  const long = Array.from({ length: 100 }, (_, i) => i);
  const key = (prompt: number[], more = {}) => affinityKey({ prompt, ...more });
  assert.equal(key(long), key(long.slice(0, 32)));
  assert.equal(key(long), key([...long.slice(0, 32), 7]));
  assert.notEqual(key(long), key([9, ...long]));
  assert.equal(key(long, { affinity: "s" }), key([1], { affinity: "s" }));
  assert.notEqual(key(long, { affinity: "s" }), key(long, { affinity: "t" }));
  assert.notEqual(key(long, { cacheScope: "s" }), key(long));
});
