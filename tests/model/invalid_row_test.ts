/**
 * One sequence of a batch computes what is no number: it alone ends, the others say what they say
 * alone, and nothing of it stays where keys and values are kept.
 */
import assert from "node:assert/strict";
import { readOnce } from "../../gpu/readback.ts";
import { GREEDY } from "../../model/engine.ts";
import { Falcon } from "../../model/falcon.ts";
import { BLOCK_TOKENS } from "../../model/kv_cache.ts";
import { Runner } from "../../model/runner.ts";
import { Scheduler } from "../../model/scheduler.ts";
import { committedGolden } from "../golden.ts";
import { withGpu } from "../helpers.ts";
import { request } from "./fake_model.ts";

/** Not a number, in half precision. */
const NAN_BITS = 0x7e00;
const TOKENS = 12;
/** They begin differently: no block is shared. */
const PROMPTS = [[17, 368, 113], [5, 9, 301, 44, 44], [200], [77, 12, 12, 406]];
const VICTIM = 1;
/** Tokens that the victim says before. */
const SAID = 4;

/** Overwrites the keys and values of a slot's first block, in one layer. */
async function poison({ gpu, kv, config: { headDim } }: Falcon, slot: number): Promise<void> {
  const words = new Uint32Array(await readOnce(gpu, kv.tables, kv.tables.size));
  const block = words[slot * kv.tableWidth]!;
  const bits = new Uint16Array(2 * BLOCK_TOKENS * headDim).fill(NAN_BITS);
  const { buffer, offset } = kv.layers[1]!;
  gpu.device.queue.writeBuffer(buffer, offset + block * bits.byteLength, bits);
}

/** What each prompt is answered, several drawn; undefined behind what an invalid one said. */
async function answers(model: Falcon, runner: Runner, ids: number[], victim?: number) {
  const heard = new Map(ids.map((id): [number, (number | undefined)[]] => [id, []]));
  const limits = { slots: PROMPTS.length, maxRows: 64, maxPicks: 8 };
  const scheduler = new Scheduler(limits, model.kv, {
    onEvent: (id, event) => event.type === "token" && heard.get(id)!.push(event.id),
    onInvalid: (id) => heard.get(id)!.push(undefined),
  });
  for (const id of ids) {
    const sampling = id % 2 === 0 ? GREEDY : { ...GREEDY, temperature: 1.5, seed: id };
    const cacheScope = crypto.randomUUID();
    scheduler.add(
      id,
      request({ prompt: PROMPTS[id]!, maxNewTokens: TOKENS, sampling, cacheScope }),
    );
  }
  let slot: number | undefined;
  for (let plan; (plan = scheduler.plan()) !== undefined;) {
    slot ??= plan.starts.find(({ prompt }) => prompt === PROMPTS[victim ?? -1])?.slot;
    scheduler.accept(await runner.step(plan));
    if (victim !== undefined && heard.get(victim)!.length === SAID) await poison(model, slot!);
  }
  return ids.map((id) => heard.get(id)!);
}

Deno.test("a row that is no number ends its own sequence, and no other in the batch", () =>
  withGpu(async (gpu) => {
    const model = await Falcon.load(gpu, committedGolden("q4-g64-act"), {
      slots: PROMPTS.length,
      maxRows: 64,
      // A block each: those that come later get the poisoned one.
      kvBytes: PROMPTS.length * BLOCK_TOKENS * 512,
      deterministic: true,
    });
    assert.equal(model.kv.blocks, PROMPTS.length);
    const runner = await Runner.create(model, PROMPTS.length);
    const all = [...PROMPTS.keys()];
    const alone: (number | undefined)[][] = [];
    for (const id of all) alone.push(...await answers(model, runner, [id]));
    assert(alone.every((ids) => ids.length === TOKENS));

    const together = await answers(model, runner, all, VICTIM);
    const broken = [...alone[VICTIM]!.slice(0, SAID), undefined];
    assert.deepEqual(together, alone.with(VICTIM, broken));
    assert.equal(model.kv.blocksUsed, 0);
    assert.deepEqual(await answers(model, runner, all), alone);
  }));
