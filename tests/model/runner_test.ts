/** Scheduler, forward pass and sampler together, with more sequences at once than the engine runs. */
import assert from "node:assert/strict";
import type { TokenEvent } from "../../model/engine.ts";
import { Falcon } from "../../model/falcon.ts";
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
    assert.deepEqual(await runner.step({ rows, picks: [], samples: [], starts }), []);
    assert.equal(runner.rows, ids.length);
  }));
