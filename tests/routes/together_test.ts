/** Values in lists: all of them, in order, none held back for one that is not there. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { together } from "../../routes/together.ts";

Deno.test("all values come, in order, however they are spaced, and so does the error", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom("now", "soon", "later"), { maxLength: 150 }),
      fc.boolean(),
      async (spaces, fails) => {
        async function* source() {
          for (const [i, space] of spaces.entries()) {
            if (space === "soon") await Promise.resolve();
            if (space === "later") await new Promise((resolve) => setTimeout(resolve));
            yield i;
          }
          if (fails) throw new Error("the end");
        }
        const seen: number[] = [];
        const read = async () => {
          for await (const list of together(source())) {
            assert.ok(list.length > 0 && list.length <= 64);
            seen.push(...list);
          }
        };
        if (fails) await assert.rejects(read(), { message: "the end" });
        else await read();
        assert.deepEqual(seen, spaces.map((_, i) => i));
      },
    ),
    { numRuns: 30 },
  );
});

Deno.test("a burst is one list, and a value is not held back for the next one", async () => {
  const gate = Promise.withResolvers<void>();
  async function* source() {
    yield* [1, 2, 3];
    await gate.promise;
    yield 4;
  }
  const lists = together(source());
  assert.deepEqual((await lists.next()).value, [1, 2, 3]);
  gate.resolve();
  assert.deepEqual((await lists.next()).value, [4]);
  assert.equal((await lists.next()).done, true);
});

Deno.test("whoever leaves leaves the source, and takes little more than was read", async () => {
  let taken = 0;
  let left = false;
  async function* source() {
    try {
      for (;;) yield ++taken;
    } finally {
      left = true;
    }
  }
  for await (const list of together(source())) {
    assert.equal(list.length, 64);
    await sleep(5);
    break;
  }
  assert.ok(left && taken <= 65, String(taken));
});
