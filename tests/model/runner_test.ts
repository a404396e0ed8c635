/** Scheduler, forward pass and sampler together, with more sequences at once than the engine runs. */
import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import { GREEDY, type TokenEvent } from "../../model/engine.ts";
import { Falcon, type FalconOptions } from "../../model/falcon.ts";
import type { PersistentLayers } from "../../model/persistent_layers.ts";
import { Runner } from "../../model/runner.ts";
import { Scheduler } from "../../model/scheduler.ts";
import { agreedGreedy, committedGolden, loadGolden } from "../golden.ts";
import { withGpu } from "../helpers.ts";
import { request } from "./fake_model.ts";

const SLOTS = 3;

Deno.test("sequences that share steps each get the greedy tokens of the golden data", () =>
  withGpu(async (gpu) => {
    const golden = loadGolden(committedGolden("q4-g128-act"));
    const model = await Falcon.load(gpu, golden.dir, {
      slots: SLOTS,
      maxRows: 64,
      kvBytes: 2 ** 20,
    });
    const runner = await Runner.create(model, SLOTS);
    const heard = new Map<number, TokenEvent[]>(golden.prompts.map((_, id) => [id, []]));
    const scheduler = new Scheduler({ slots: SLOTS, maxRows: 64, maxPicks: 8 }, model.kv, {
      onEvent: (id, event) => heard.get(id)!.push(event),
      onInvalid: (id) => assert.fail(`prompt ${id} gave no numbers`),
    });
    golden.prompts.forEach(({ ids, greedy }, id) =>
      scheduler.add(
        id,
        request({ prompt: ids, maxNewTokens: greedy.length, promptLogprobs: id === 2 }),
      )
    );
    let shared = 0;
    for (let plan; (plan = scheduler.plan()) !== undefined;) {
      if (new Set(plan.rows.map(({ slot }) => slot)).size > 1) shared++;
      const sampled = await runner.step(plan);
      assert.equal(sampled.length, plan.picks.length);
      scheduler.accept(sampled);
    }
    assert(shared > 0, "no step held rows of several sequences");
    golden.prompts.forEach(({ ids, greedy, greedyMargin, meanLogprob }, id) => {
      const [first, ...rest] = heard.get(id)!;
      const tokens = first!.type === "prompt" ? rest : [first!, ...rest];
      agreedGreedy(greedy, greedyMargin, tokens.map((event) => "id" in event ? event.id : NaN));
      assert.equal(first!.type, id === 2 ? "prompt" : "token");
      if (first!.type !== "prompt") return;
      assert.equal(first!.logprobs.length, ids.length);
      const known = first!.logprobs.filter((logprob) => logprob !== null);
      const mean = known.reduce((sum, logprob) => sum + logprob, 0) / known.length;
      assert(Math.abs(mean - meanLogprob!) <= 1e-3, `${mean}, expected ${meanLogprob}`);
    });
    const rows = golden.prompts.reduce(
      (sum, { ids, greedy }) => sum + ids.length + greedy.length - 1,
      0,
    );
    assert.equal(runner.rows, rows);
    assert.equal(model.kv.blocksUsed, 0);
  }));

Deno.test("a step without samples computes its rows and returns nothing", () =>
  withGpu(async (gpu) => {
    const golden = loadGolden(committedGolden("q4-g64-act"));
    const model = await Falcon.load(gpu, golden.dir);
    const runner = await Runner.create(model, 1);
    model.kv.grow(0, 8);
    const { ids } = golden.prompts[1]!;
    const rows = ids.map((token, position) => ({ token, position, slot: 0 }));
    const starts = [{ slot: 0, prompt: ids, logitBias: [] }];
    assert.deepEqual(await runner.step({ rows, picks: [], samples: [], chain: [], starts }), []);
    assert.equal(runner.rows, ids.length);
  }));

/** All tokens of one answer, with steps chained or not. */
async function tokensOf(dir: string, longestChain: number, options: FalconOptions, stop: number[]) {
  const tokens: number[] = [];
  await withGpu(async (gpu) => {
    const model = await Falcon.load(gpu, dir, options);
    const runner = await Runner.create(model, 1);
    const limits = { slots: 1, maxRows: 64, maxPicks: 8 };
    const scheduler = new Scheduler(limits, model.kv, {
      onEvent: (_, event) => event.type === "token" && tokens.push(event.id),
      onInvalid: () => assert.fail("no numbers"),
    });
    const sampling = {
      ...GREEDY,
      temperature: 0.9,
      topP: 0.95,
      repetitionPenalty: 1.2,
      frequencyPenalty: 0.3,
      frequencyScope: "context" as const,
      logitBias: [[113, 3] as const],
      seed: 7,
    };
    const prompt = [17, 368, 113, 356];
    scheduler.add(0, request({ prompt, maxNewTokens: 30, sampling, stopTokens: stop }));
    let longest = 0;
    for (let plan; (plan = scheduler.plan(longestChain)) !== undefined;) {
      longest = Math.max(longest, plan.chain.length);
      scheduler.accept(await runner.step(plan));
    }
    assert.equal(longest, longestChain);
    assert.equal(model.kv.blocksUsed, 0);
  });
  return tokens;
}

for (const path of ["portable", "persistent"] as const) {
  Deno.test(`${path} path: chained steps choose the tokens of single ones`, async () => {
    const dir = committedGolden("q4-g128-act");
    const alone = await tokensOf(dir, 0, { path }, []);
    assert.equal(alone.length, 30);
    assert.deepEqual(await tokensOf(dir, 7, { path }, []), alone);
    // A stop token in the middle of a chain ends the answer there.
    const stop = alone.findIndex((id, i) => i > 2 && alone.indexOf(id) === i);
    assert.deepEqual(await tokensOf(dir, 5, { path }, [alone[stop]!]), alone.slice(0, stop + 1));
  });
}

Deno.test("workgroups that waited in vain end their request, and the portable path goes on", () =>
  withGpu(async (gpu) => {
    const golden = loadGolden(committedGolden("q4-g128-act"));
    const { ids, greedy } = golden.prompts[1]!;
    const model = await Falcon.load(gpu, golden.dir, { path: "portable" });
    const runner = await Runner.create(model, 1);
    const buffer = storageFrom(gpu, "broken", new Uint32Array([0, 1]));
    const broken = { broken: { buffer, offset: 4 }, prepare() {}, encode() {} };
    model.forward.persistent = broken as unknown as PersistentLayers;
    const heard: string[] = [];
    const scheduler = new Scheduler({ slots: 1, maxRows: 64, maxPicks: 8 }, model.kv, {
      onEvent: (id, event) => heard.push(`${id} ${event.type === "token" ? event.id : ""}`),
      onInvalid: (id) => heard.push(`${id} invalid`),
    });
    for (const id of [0, 1]) scheduler.add(id, request({ prompt: ids, maxNewTokens: 2 }));
    for (let plan; (plan = scheduler.plan(3)) !== undefined;) {
      scheduler.accept(await runner.step(plan));
    }
    assert.deepEqual(heard, [
      `0 ${greedy[0]}`,
      "0 invalid",
      `1 ${greedy[0]}`,
      `1 ${greedy[1]}`,
    ]);
    assert.equal(model.forward.persistent, undefined);
  }));
