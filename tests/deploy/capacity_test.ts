/** The capacity page says what the layout, the measured rates and the simulation say. */
import assert from "node:assert/strict";
import { ASSUMPTIONS, FALCON_7B } from "../../model/simulate/plan.ts";
import { cardRows, PAGE, RUN, simulated, streamRows } from "./capacity_figures.ts";

const page = await Deno.readTextFile(PAGE);
/** The formatter breaks lines and pads columns. */
const plain = page.replace(/[ \n]+/g, " ");
const runs = [...page.matchAll(RUN)];

function assertSays(text: string): void {
  assert(plain.includes(text), `capacity.md should say: ${text}`);
}

Deno.test("how many dialogues a card holds", () => {
  for (const row of cardRows()) assertSays(row);
  // By hand, Falcon-7B: 32 layers of a key and a value of 64 numbers of two bytes.
  assertSays("8 KiB a token, 16 MiB for 2048 tokens");
  assert.equal(32 * 2 * 64 * 2, 8 * 1024);
  // 2 GiB less 4 bytes, in whole blocks of 32 tokens, in whole dialogues; and so for one layer.
  assert.equal(Math.floor(Math.floor((2 ** 31 - 4) / 2 ** 18) / 64), 127);
  assert.equal(Math.floor(Math.floor((2 ** 31 - 4) / 2 ** 13) / 64), 4095);
  assertSays("127 dialogues");
  assertSays("4095 dialogues");
});

Deno.test("how fast streams are that run together, and how many dialogues they serve", () => {
  for (const row of streamRows()) assertSays(row);
});

Deno.test("the page states every assumption, and why there is no other way than replicas", () => {
  for (const text of ASSUMPTIONS) assertSays(text);
  const { heads } = FALCON_7B;
  const divisors = Array.from({ length: heads }, (_, i) => i + 1).filter((n) => heads % n === 0);
  assert.deepEqual(divisors, [1, 71]);
  assertSays("71 query heads have no divisor but 1 and 71");
});

Deno.test("the page has a simulation of 1, 10 and 100 sidecars", () => {
  const sizes = runs.map(([, flags]) => /--sidecars (\d+)/.exec(flags!)?.[1]);
  for (const size of ["1", "10", "100"]) assert(sizes.includes(size), size);
});

for (const [, flags, expected] of runs) {
  Deno.test(`simulate ${flags} gives what the page says`, async () => {
    assert.equal(expected, await simulated(flags!));
  });
}
