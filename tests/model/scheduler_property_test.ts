/** The scheduler under any arrivals, cancellations and limits: nothing is lost, leaked or unfair. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { GenerateRequest } from "../../model/engine.ts";
import { expectedEvents, FakeModel, request, VOCAB } from "./fake_model.ts";

/** Tokens that the pool holds; every request fits it alone. */
const POOL = 64;

const requests: fc.Arbitrary<GenerateRequest> = fc.record({
  prompt: fc.array(fc.nat(VOCAB - 1), { minLength: 1, maxLength: 40, size: "max" }),
  maxNewTokens: fc.integer({ min: 1, max: 24 }),
  stopTokens: fc.array(fc.nat(VOCAB - 1), { maxLength: 4 }),
  promptLogprobs: fc.boolean(),
}).map(request);

const limits = fc.record({
  slots: fc.integer({ min: 1, max: 5 }),
  maxRows: fc.integer({ min: 1, max: 12 }),
  maxPicks: fc.integer({ min: 1, max: 6 }),
});

/** What happens next: a request arrives, one of those so far is cancelled, or a step is made. */
type Happening = GenerateRequest | { cancel: number; midStep: boolean } | "step";

const happenings: fc.Arbitrary<Happening[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: requests },
    { weight: 2, arbitrary: fc.record({ cancel: fc.nat(30), midStep: fc.boolean() }) },
    { weight: 6, arbitrary: fc.constant("step" as const) },
  ),
  { maxLength: 60, size: "max" },
);

/** Plays what happens, then lets everything end; the requests by id, and who was cancelled. */
function play(model: FakeModel, story: Happening[]) {
  const { scheduler } = model;
  const asked: GenerateRequest[] = [];
  const cancelled = new Set<number>();
  for (const happening of story) {
    if (happening === "step") model.step();
    else if ("prompt" in happening) {
      scheduler.add(asked.length, happening);
      asked.push(happening);
    } else {
      const plan = happening.midStep ? scheduler.plan() : undefined;
      const sampled = plan && model.compute(plan);
      scheduler.cancel(happening.cancel);
      if (happening.cancel < asked.length) cancelled.add(happening.cancel);
      if (sampled) scheduler.accept(sampled);
    }
  }
  model.finish();
  return { asked, cancelled };
}

Deno.test("scheduler: every request gets its own answer, whatever happens around it", () => {
  fc.assert(fc.property(limits, happenings, (limits, story) => {
    const model = new FakeModel(limits, POOL);
    const { asked, cancelled } = play(model, story);
    asked.forEach((wanted, id) => {
      const heard = model.heard.get(id) ?? [];
      const expected = expectedEvents(wanted);
      // One that was cancelled hears the beginning; all of it where it had ended before.
      const count = cancelled.has(id) ? heard.length : expected.length;
      assert.deepEqual(heard, expected.slice(0, count));
    });
  }));
});

Deno.test("scheduler: requests begin in the order in which they came", () => {
  fc.assert(fc.property(limits, happenings, (limits, story) => {
    const model = new FakeModel(limits, POOL);
    const { asked, cancelled } = play(model, story);
    // Prompts are told apart by identity: two may hold the same tokens.
    const order = model.begun.map((prompt) =>
      asked.findIndex((wanted) => wanted.prompt === prompt)
    );
    assert.deepEqual(order, order.toSorted((a, b) => a - b));
    const missing = asked.keys().filter((id) => !order.includes(id));
    for (const id of missing) assert(cancelled.has(id), `request ${id} never began`);
  }));
});

Deno.test("scheduler: every step computes a row, and no slot is lost", () => {
  fc.assert(fc.property(limits, happenings, (limits, story) => {
    const model = new FakeModel(limits, POOL);
    const { asked } = play(model, story);
    const rows = model.steps.reduce((sum, count) => sum + count, 0);
    const most = asked.reduce(
      (sum, { prompt, maxNewTokens }) => sum + prompt.length + maxNewTokens - 1,
      0,
    );
    assert(model.steps.length <= rows && rows <= most, `${rows} rows, at most ${most} were needed`);
  }));
});

/** Limits as the engine has them: a row and its logits for every slot. */
const ample = limits.filter(({ slots, maxRows, maxPicks }) => slots <= Math.min(maxRows, maxPicks));

Deno.test("scheduler: after anything, as many run as there are slots", () => {
  fc.assert(fc.property(ample, happenings, (limits, story) => {
    const model = new FakeModel(limits, POOL);
    play(model, story);
    for (let id = 0; id < limits.slots; id++) {
      model.scheduler.add(1000 + id, request({ prompt: [id], maxNewTokens: 10 }));
    }
    model.step();
    assert.equal(model.scheduler.running, limits.slots);
  }));
});

Deno.test("scheduler: who has a token gets one more in every step, and prompts go on too", () => {
  fc.assert(fc.property(ample, happenings, fc.nat(20), (limits, story, rowsInTime) => {
    const model = new FakeModel(limits, POOL);
    const { scheduler } = model;
    let asked = 0;
    const gone = new Set<number>();
    /** Heard something, and still hears more: with how many events so far. */
    const decoding = new Map<number, number>();
    for (const happening of [...story, ...new Array<"step">(40).fill("step")]) {
      if (happening !== "step") {
        if (!("prompt" in happening)) {
          if (happening.cancel < asked) gone.add(happening.cancel);
          scheduler.cancel(happening.cancel);
          decoding.delete(happening.cancel);
        } else scheduler.add(asked++, happening);
        continue;
      }
      const waiting = scheduler.running > decoding.size;
      const before = model.steps.length;
      model.step(rowsInTime);
      for (const [id, count] of decoding) {
        assert(model.heard.get(id)!.length > count, `request ${id} was left out of a step`);
      }
      if (waiting) assert(model.steps[before]! > decoding.size, "no row of a prompt");
      if (decoding.size > 0) {
        const most = Math.max(rowsInTime, decoding.size + 8);
        assert(model.steps[before]! <= most, `${model.steps[before]} rows of ${most}`);
      }
      decoding.clear();
      for (const [id, events] of model.heard) {
        const last = events.at(-1)!;
        const isOver = last.type === "token" && last.finish !== undefined;
        if (!isOver && !gone.has(id)) decoding.set(id, events.length);
      }
    }
  }));
});
