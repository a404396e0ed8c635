/** The scheduler with a fake model: what is computed when, and what each request hears. */
import assert from "node:assert/strict";
import { GREEDY, type LogitBias, type TokenEvent } from "../../model/engine.ts";
import type { Plan } from "../../model/plan.ts";
import { Scheduler } from "../../model/scheduler.ts";
import { expectedEvents, FakeModel, POISON, request } from "./fake_model.ts";

const LIMITS = { slots: 1, maxRows: 8, maxPicks: 3 };

function prompt(length: number, first = 1): number[] {
  return Array.from({ length }, (_, i) => first + i);
}

function ids(events: TokenEvent[]): number[] {
  return events.flatMap((event) => event.type === "token" ? [event.id] : []);
}

Deno.test("scheduler: a request is prefilled in chunks, then decoded a token a step", () => {
  const model = new FakeModel(LIMITS, 100);
  const wanted = request({ prompt: prompt(23), maxNewTokens: 4 });
  model.scheduler.add(1, wanted);
  assert.equal(model.scheduler.waiting, 1);
  model.finish();
  assert.deepEqual(model.steps, [8, 8, 7, 1, 1, 1]);
  assert.deepEqual(model.heard.get(1), expectedEvents(wanted));
});

Deno.test("scheduler: log-probabilities of the prompt take steps of maxPicks rows", () => {
  const model = new FakeModel(LIMITS, 100);
  const wanted = request({ prompt: prompt(8), maxNewTokens: 2, promptLogprobs: true });
  model.scheduler.add(1, wanted);
  model.finish();
  assert.deepEqual(model.steps, [3, 3, 2, 1]);
  assert.deepEqual(model.heard.get(1), expectedEvents(wanted));
  const single = request({ prompt: [5], promptLogprobs: true });
  model.scheduler.add(2, single);
  model.finish();
  assert.deepEqual(model.heard.get(2)![0], { type: "prompt", logprobs: [null], top: [[]] });
});

Deno.test("scheduler: a step's rows stay within maxRows where maxPicks is larger", () => {
  const model = new FakeModel({ slots: 1, maxRows: 2, maxPicks: 8 }, 100);
  const wanted = request({ prompt: prompt(7), promptLogprobs: true });
  model.scheduler.add(1, wanted);
  model.finish();
  assert.deepEqual(model.heard.get(1), expectedEvents(wanted));
});

Deno.test("scheduler: each sample says which draw of which context it is", () => {
  const model = new FakeModel(LIMITS, 100);
  const logitBias: LogitBias[] = [[7, -1]];
  const sampling = { ...GREEDY, temperature: 0.5, seed: 9, logitBias };
  const wanted = request({ prompt: [4, 5], sampling, topTokens: 2, promptLogprobs: true });
  model.scheduler.add(1, { ...wanted, maxNewTokens: 2 });
  const plans: Plan[] = [];
  for (let plan; (plan = model.scheduler.plan()) !== undefined;) {
    plans.push(plan);
    model.scheduler.accept(model.compute(plan));
  }
  assert.deepEqual(plans.map(({ starts }) => starts), [
    [{ slot: 0, prompt: [4, 5], logitBias }],
    [],
  ]);
  const row = { slot: 0, sampling };
  assert.deepEqual(plans.map(({ samples }) => samples), [
    [
      { ...row, drawIndex: 0, contextLength: 2, topTokens: 2, forced: 5 },
      { ...row, drawIndex: 0, contextLength: 2, topTokens: 2 },
    ],
    [{ ...row, drawIndex: 1, contextLength: 3, topTokens: 2 }],
  ]);
});

Deno.test("scheduler: with a clock, a first token says how long it waited for its first row", () => {
  let now = 1000;
  const told: (number | undefined)[] = [];
  const listener = {
    onEvent(_: number, event: TokenEvent) {
      if (event.type === "token") told.push(event.queuedSeconds);
    },
    onInvalid() {},
  };
  const limits = { slots: 1, maxRows: 8, maxPicks: 8 };
  const model = new FakeModel(limits, 8);
  const scheduler = new Scheduler(limits, model.pool, listener, () => now);
  const step = () => scheduler.accept(model.compute(scheduler.plan()!));
  scheduler.add(1, request({ prompt: [1, 2], maxNewTokens: 2 }));
  scheduler.add(2, request({ prompt: [3], maxNewTokens: 1 }));
  // One slot: the second waits for two steps of a second each.
  for (let i = 0; i < 3; i++) {
    step();
    now += 1000;
  }
  assert.deepEqual(told, [0, undefined, 2]);
});

Deno.test("scheduler: nobody overtakes a request that does not fit yet", () => {
  const model = new FakeModel({ ...LIMITS, slots: 3, maxRows: 16 }, 20);
  const requests = [
    request({ prompt: prompt(4), maxNewTokens: 6 }), // 10 of 20
    request({ prompt: prompt(9, 20), maxNewTokens: 3 }), // 12 do not fit beside it
    request({ prompt: prompt(2, 40), maxNewTokens: 2 }), // 4 would fit
  ];
  requests.forEach((wanted, id) => model.scheduler.add(id, wanted));
  model.step();
  assert.deepEqual([model.scheduler.running, model.scheduler.waiting], [1, 2]);
  assert.equal(model.pool.used, 10);
  while (model.heard.get(0)?.length !== 6) model.step();
  model.step();
  assert.deepEqual([model.scheduler.running, model.scheduler.waiting], [2, 0]);
  model.finish();
  assert.deepEqual(model.begun, requests.map((wanted) => wanted.prompt));
  requests.forEach((wanted, id) => assert.deepEqual(model.heard.get(id), expectedEvents(wanted)));
});

Deno.test("scheduler: prefill and decode share a step; the older request comes first", () => {
  const model = new FakeModel({ ...LIMITS, slots: 2 }, 100);
  model.scheduler.add(1, request({ prompt: [1], maxNewTokens: 9 }));
  model.step();
  model.scheduler.add(2, request({ prompt: prompt(10) }));
  const plan = model.scheduler.plan()!;
  assert.equal(plan.rows.length, 8);
  assert.deepEqual(plan.rows.map(({ slot }) => slot), [0, 1, 1, 1, 1, 1, 1, 1]);
  assert.deepEqual(plan.picks, [0]);
});

Deno.test("scheduler: more decoding requests than picks take turns without losing a token", () => {
  const model = new FakeModel({ slots: 5, maxRows: 8, maxPicks: 2 }, 100);
  const requests = [1, 2, 3, 4, 5].map((token) => request({ prompt: [token] }));
  requests.forEach((wanted, id) => model.scheduler.add(id, wanted));
  model.finish();
  requests.forEach((wanted, id) => assert.deepEqual(model.heard.get(id), expectedEvents(wanted)));
});

Deno.test("scheduler: an answer ends at a stop token, but its last token ends it by length", () => {
  const model = new FakeModel(LIMITS, 100);
  const [first, second] = ids(expectedEvents(request()));
  assert.notEqual(first, second);
  const finishes = (id: number) =>
    model.heard.get(id)!.map((event) => event.type === "token" ? event.finish : "prompt");
  model.scheduler.add(1, request({ stopTokens: [second!] }));
  model.scheduler.add(2, request({ stopTokens: [second!], maxNewTokens: 2 }));
  model.scheduler.add(3, request({ stopTokens: [first!], maxNewTokens: 1 }));
  model.finish();
  assert.deepEqual(finishes(1), [undefined, "stop_token"]);
  assert.deepEqual(finishes(2), [undefined, "length"]);
  assert.deepEqual(finishes(3), ["length"]);
});

Deno.test("scheduler: a cancelled request is forgotten while it waits", () => {
  const model = new FakeModel(LIMITS, 100);
  [1, 2, 3].forEach((id) => model.scheduler.add(id, request({ prompt: [id] })));
  model.step();
  model.scheduler.cancel(2);
  assert.equal(model.scheduler.waiting, 1);
  model.finish();
  assert.deepEqual([...model.heard.keys()], [1, 3]);
  assert.deepEqual(model.begun, [[1], [3]]);
});

for (const [phase, steps] of [["prefill", 1], ["decode", 5]] as const) {
  Deno.test(`scheduler: a request cancelled in ${phase} frees its blocks and slot at once`, () => {
    const model = new FakeModel(LIMITS, 40);
    model.scheduler.add(1, request({ prompt: prompt(20), maxNewTokens: 20 }));
    const after = request({ prompt: [9, 9], maxNewTokens: 38 });
    model.scheduler.add(2, after);
    for (let i = 0; i < steps; i++) model.step();
    const heard = model.heard.get(1)?.length ?? 0;
    assert.equal(heard > 0, phase === "decode");
    model.scheduler.cancel(1);
    assert.deepEqual([model.scheduler.running, model.pool.used], [0, 0]);
    model.finish();
    assert.equal(model.heard.get(1)?.length ?? 0, heard);
    assert.deepEqual(model.heard.get(2), expectedEvents(after));
  });
}

Deno.test("scheduler: a request cancelled during its step hears nothing of it", () => {
  const model = new FakeModel({ ...LIMITS, slots: 2 }, 100);
  model.scheduler.add(1, request({ prompt: [1] }));
  model.scheduler.add(2, request({ prompt: [2] }));
  const sampled = model.compute(model.scheduler.plan()!);
  model.scheduler.cancel(1);
  model.scheduler.accept(sampled);
  model.finish();
  assert.equal(model.heard.has(1), false);
  assert.deepEqual(model.heard.get(2), expectedEvents(request({ prompt: [2] })));
});

Deno.test("scheduler: cancelling what is unknown, over or cancelled changes nothing", () => {
  const model = new FakeModel(LIMITS, 100);
  model.scheduler.cancel(7);
  model.scheduler.add(1, request());
  model.finish();
  model.scheduler.cancel(1);
  model.scheduler.add(2, request());
  model.step();
  model.scheduler.cancel(2);
  model.scheduler.cancel(2);
  model.scheduler.cancel(1);
  model.scheduler.add(3, request());
  model.finish();
  assert.deepEqual(model.heard.get(3), expectedEvents(request()));
});

Deno.test("scheduler: logits that are no distribution end their own request alone", () => {
  const model = new FakeModel({ ...LIMITS, slots: 3 }, 100);
  model.scheduler.add(1, request({ prompt: [1, POISON] }));
  model.scheduler.add(2, request({ prompt: [2, 3], promptLogprobs: true }));
  model.scheduler.add(3, request({ prompt: [POISON, 3, 4], promptLogprobs: true }));
  model.finish();
  assert.deepEqual(model.invalid, [1, 3]);
  assert.deepEqual([...model.heard.keys()], [2]);
});

Deno.test("scheduler: steps are chained for one sequence that decodes, to the end of its answer", () => {
  const model = new FakeModel({ ...LIMITS, slots: 2 }, 100);
  const heard = {
    id: 7,
    invalid: false,
    logprob: 0,
    processedLogprob: 0,
    top: [],
    processedTop: [],
  };
  const lengths = (plan: Plan) => [plan.rows.length, plan.samples.length, plan.chain.length];
  const go = (longest: number) => {
    const plan = model.scheduler.plan(longest)!;
    model.scheduler.accept([...plan.samples, ...plan.chain].map(() => heard));
    return plan;
  };
  model.scheduler.add(1, request({ prompt: [1, 2, 3], maxNewTokens: 7 }));
  assert.deepEqual(lengths(go(9)), [3, 1, 0], "the first token is waited for");
  const chained = go(2);
  assert.deepEqual(lengths(chained), [1, 1, 2]);
  const draws = [chained.samples[0]!, ...chained.chain];
  assert.deepEqual(draws.map(({ drawIndex }) => drawIndex), [1, 2, 3]);
  assert.deepEqual(draws.map(({ contextLength }) => contextLength), [4, 5, 6]);
  assert.deepEqual(go(0).rows, [{ token: 7, position: 6, slot: 0 }]);
  assert.deepEqual(lengths(go(9)), [1, 1, 1], "no further than the answer may go");
  assert.equal(model.scheduler.plan(9), undefined);

  model.scheduler.add(2, request({ prompt: [1], maxNewTokens: 9 }));
  model.scheduler.add(3, request({ prompt: [1], maxNewTokens: 9 }));
  go(9);
  assert.deepEqual(lengths(go(9)), [2, 2, 0], "not for two at once");
});

Deno.test("scheduler: a long prompt goes in chunks beside those who decode, and whole steps alone", () => {
  const model = new FakeModel({ slots: 4, maxRows: 64, maxPicks: 8 }, 1000);
  model.scheduler.add(1, request({ prompt: prompt(70), maxNewTokens: 20 }));
  model.step(20);
  model.step(20);
  model.scheduler.add(2, request({ prompt: prompt(70), maxNewTokens: 2 }));
  for (let i = 0; i < 3; i++) model.step(20);
  // No chunk is smaller than 8 rows, however slow they are.
  model.step(3);
  assert.deepEqual(model.steps, [64, 6, 20, 20, 20, 9]);
  assert.equal(model.heard.get(1)!.length, 5);
});
