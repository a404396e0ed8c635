/** Blocks that sequences share: the same answers as without, fewer rows, and nobody else's. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { GenerateRequest, TokenEvent } from "../../model/engine.ts";
import { expectedEvents, FakeModel, POISON, request } from "./fake_model.ts";
import { PagedPool } from "./paged_pool.ts";

const LIMITS = { slots: 4, maxRows: 64, maxPicks: 8 };

function model(blocks = 40): FakeModel & { pool: PagedPool } {
  return new FakeModel(LIMITS, new PagedPool(blocks, LIMITS.slots)) as FakeModel & {
    pool: PagedPool;
  };
}

function prompt(length: number, first = 1): number[] {
  return Array.from({ length }, (_, i) => (first + i) % 50);
}

function cachedOf(events: TokenEvent[] | undefined): number[] {
  return (events ?? []).flatMap((event) =>
    event.type === "token" && event.cachedTokens !== undefined ? [event.cachedTokens] : []
  );
}

function plain(events: TokenEvent[] = []): TokenEvent[] {
  return events.map((event) => {
    if (event.type === "prompt") return event;
    const { cachedTokens: _, ...rest } = event;
    return rest;
  });
}

/** Serves one request to its end; the rows that it took. */
function serve(served: FakeModel, id: number, wanted: GenerateRequest): number {
  const before = served.steps.reduce((sum, rows) => sum + rows, 0);
  served.scheduler.add(id, wanted);
  served.finish();
  assert.deepEqual(plain(served.heard.get(id)), expectedEvents(wanted));
  return served.steps.reduce((sum, rows) => sum + rows, 0) - before;
}

Deno.test("the next turn computes what is new, and says what was there", () => {
  const served = model();
  const first = request({ prompt: prompt(100), maxNewTokens: 30 });
  assert.equal(serve(served, 1, first), 100 + 29);
  const answer = served.heard.get(1)!.map((event) => "id" in event ? event.id : 0);
  const next = request({ prompt: [...first.prompt, ...answer, 5, 6], maxNewTokens: 3 });
  // 129 tokens are computed: four full blocks of 32.
  assert.equal(serve(served, 2, next), 132 - 128 + 2);
  assert.deepEqual(cachedOf(served.heard.get(1)), []);
  assert.deepEqual(cachedOf(served.heard.get(2)), [128]);
  assert.equal(served.pool.prefixQueries, 232);
  assert.equal(served.pool.prefixHits, 128);
});

Deno.test("the last token of a prompt is always computed", () => {
  const served = model();
  for (
    const [id, length, rows] of [[1, 64, 64], [2, 64, 32], [3, 65, 1], [4, 33, 1], [5, 32, 32]]
  ) {
    const wanted = request({ prompt: prompt(length!), maxNewTokens: 1 });
    assert.equal(serve(served, id!, wanted), rows, `${length} tokens`);
  }
});

Deno.test("several answers to one prompt compute it once, though they begin together", () => {
  const served = model();
  const wanted = request({ prompt: prompt(60), maxNewTokens: 40 });
  for (const id of [1, 2, 3, 4]) served.scheduler.add(id, wanted);
  let used = 0;
  while (served.step()) used = Math.max(used, served.pool.used);
  for (const id of [1, 2, 3, 4]) {
    assert.deepEqual(plain(served.heard.get(id)), expectedEvents(wanted));
  }
  assert.deepEqual([1, 2, 3, 4].map((id) => cachedOf(served.heard.get(id))), [[], [32], [32], [
    32,
  ]]);
  const rows = served.steps.reduce((sum, count) => sum + count, 0);
  assert.equal(rows, 60 + 3 * 28 + 4 * 39);
  // Blocks for 100 tokens each, the first of which is everybody's.
  assert.equal(used, 1 + 4 * 3);
});

Deno.test("reuse crosses no scope", () => {
  const served = model();
  const wanted = request({ prompt: prompt(90), maxNewTokens: 2 });
  assert.equal(serve(served, 1, { ...wanted, cacheScope: "a" }), 91);
  assert.equal(serve(served, 2, { ...wanted, cacheScope: "b" }), 91);
  assert.equal(serve(served, 3, wanted), 91);
  assert.equal(serve(served, 4, { ...wanted, cacheScope: "a" }), 91 - 64);
});

Deno.test("where the prompt's log-probabilities are asked for, all of it is computed", () => {
  const served = model();
  const wanted = request({ prompt: prompt(90), maxNewTokens: 2 });
  serve(served, 1, wanted);
  assert.equal(serve(served, 2, { ...wanted, promptLogprobs: true }), 91);
  assert.deepEqual([served.pool.prefixQueries, served.pool.prefixHits], [90, 0]);
});

Deno.test("blocks of numbers that mean nothing are never found again", () => {
  const served = model();
  const wanted = request({ prompt: [...prompt(70), POISON, ...prompt(70)], maxNewTokens: 2 });
  for (const id of [1, 2]) {
    served.scheduler.add(id, wanted);
    served.finish();
  }
  assert.deepEqual(served.invalid, [1, 2]);
  assert.equal(served.pool.prefixHits, 0);
  assert.equal(served.pool.used, 0);
});

Deno.test("what was used least recently goes first", () => {
  const served = model(6);
  const [a, b, c] = [1, 11, 21].map((first) =>
    request({ prompt: prompt(60, first), maxNewTokens: 4 })
  );
  const rows = (id: number, wanted: GenerateRequest) => serve(served, id, wanted);
  assert.equal(rows(1, a!), 63); // keeps one block, of the prompt
  assert.equal(rows(2, b!), 63);
  assert.equal(rows(3, a!), 63 - 32);
  // Of six blocks two are kept, and this takes five.
  const large = request({ prompt: prompt(150, 31), maxNewTokens: 10 });
  assert.equal(rows(4, large), 159);
  assert.equal(rows(5, c!), 63);
  assert.equal(served.pool.prefixHits, 32);
  assert.equal(served.pool.used, 0);
});

/** Prompts that often begin alike, in two scopes. */
const requests: fc.Arbitrary<GenerateRequest> = fc.record({
  prompt: fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 100 }), fc.nat(2)).map(
    ([kind, length, end]) => [...prompt(length, 10 * kind), ...new Array(end * 20).fill(end)],
  ),
  maxNewTokens: fc.integer({ min: 1, max: 70 }),
  promptLogprobs: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
  cacheScope: fc.constantFrom("a", "b"),
}).map(request);

const happenings = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: requests },
    { weight: 1, arbitrary: fc.record({ cancel: fc.nat(20), midStep: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ again: fc.nat(20) }) },
    { weight: 8, arbitrary: fc.constant("step" as const) },
  ),
  { maxLength: 60, size: "max" },
);

Deno.test("whatever is shared, every request gets the answer that it gets alone", () => {
  let hits = 0;
  fc.assert(
    fc.property(happenings, fc.integer({ min: 8, max: 24 }), (story, blocks) => {
      const served = model(blocks);
      const { scheduler } = served;
      const asked: GenerateRequest[] = [];
      const cancelled = new Set<number>();
      for (const happening of story) {
        if (happening === "step") served.step();
        else if ("prompt" in happening) scheduler.add(asked.push(happening) - 1, happening);
        else if ("again" in happening) {
          // The next turn of a dialogue whose answer is known so far.
          const { again } = happening;
          const before = asked[again];
          if (!before) continue;
          const answer = (served.heard.get(again) ?? []).flatMap((event) =>
            event.type === "token" ? [event.id] : []
          );
          const next = { ...before, prompt: [...before.prompt, ...answer, 7], maxNewTokens: 5 };
          if (next.prompt.length + 5 <= blocks * 32) scheduler.add(asked.push(next) - 1, next);
        } else {
          const plan = happening.midStep ? scheduler.plan() : undefined;
          const sampled = plan && served.compute(plan);
          scheduler.cancel(happening.cancel);
          if (happening.cancel < asked.length) cancelled.add(happening.cancel);
          if (sampled) scheduler.accept(sampled);
        }
      }
      served.finish();
      hits += served.pool.prefixHits;
      asked.forEach((wanted, id) => {
        const heard = plain(served.heard.get(id));
        const expected = expectedEvents(wanted);
        assert.deepEqual(heard, expected.slice(0, cancelled.has(id) ? heard.length : undefined));
      });
    }),
    { numRuns: 60 },
  );
  assert(hits > 0, "nothing was shared at all");
});
