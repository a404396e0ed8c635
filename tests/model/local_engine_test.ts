/** What the engine answers, against the golden data and the float64 reference. */
import assert from "node:assert/strict";
import { GREEDY } from "../../model/engine.ts";
import { agreedGreedy, committedGolden, goldenDirs, loadGolden } from "../golden.ts";
import { loadReference, logSoftmax } from "../reference.ts";
import { rewriteCheckpoint } from "../rewrite.ts";
import { type Answer, answer, withEngine } from "./engine_rig.ts";

/**
 * Largest error of one log-probability. The bound on logits, an NMSE of 1e-5, allows about this much
 * where they spread over 7 as in the golden data.
 */
const TOLERANCE = 0.02;
/** Largest error of a mean of them, as a part of it. */
const MEAN_TOLERANCE = 1e-3;

function mean({ prompt }: Answer): number {
  const [first, ...rest] = prompt!;
  assert.equal(first, null);
  return rest.reduce<number>((sum, logprob) => sum + logprob!, 0) / rest.length;
}

for (const dir of goldenDirs()) {
  const golden = loadGolden(dir);
  Deno.test(`engine: ${golden.name} answers as the golden data say`, () =>
    withEngine({ model: dir }, async (engine) => {
      for (const { ids, greedy, greedyMargin, meanLogprob, lastLogits } of golden.prompts) {
        const found = await answer(engine, {
          prompt: ids,
          maxNewTokens: greedy.length,
          promptLogprobs: true,
        });
        agreedGreedy(greedy, greedyMargin, found.ids);
        assert.equal(found.prompt!.length, ids.length);
        if (meanLogprob !== null) {
          const error = Math.abs(mean(found) / meanLogprob - 1);
          assert(error <= MEAN_TOLERANCE, `mean log-probability is off by ${error} of it`);
        }
        const [first] = found.tokens;
        const error = Math.abs(first!.logprob - logSoftmax(lastLogits)[first!.id]!);
        assert(error <= TOLERANCE, `log-probability is off by ${error}`);
      }
    }));
}

/** Ids without a pattern, below 512. */
function longPrompt(length: number): number[] {
  return Array.from({ length }, (_, i) => (i * i * 37 + i * 11) % 512);
}

/** Asserts that the model answers `prompt` with the reference's greedy tokens. */
async function answersLikeReference(model: string, prompt: number[]): Promise<void> {
  await withEngine({ model }, async (engine) => {
    const found = await answer(engine, { prompt, maxNewTokens: 8 });
    const { tokens, margins } = (await loadReference(model)).greedy(prompt, 8);
    assert(agreedGreedy(tokens, margins, found.ids) > 0);
    assert.equal(found.tokens.at(-1)!.finish, "length");
  });
}

Deno.test("engine: a prompt of two chunks is answered like the reference", () =>
  answersLikeReference(committedGolden("q4-g64-act"), longPrompt(300)));

Deno.test("engine: a prompt that fills the context is answered like the reference", async () => {
  const dir = await Deno.makeTempDir();
  try {
    // One layer is enough to read every key there is, and takes half the time.
    await rewriteCheckpoint(committedGolden("q4-g64-act"), dir, {
      config: { num_hidden_layers: 1 },
      edit: (tensors) => {
        for (const name of tensors.keys()) if (name.includes(".h.1.")) tensors.delete(name);
      },
    });
    await answersLikeReference(dir, longPrompt(2040));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("engine: each prompt token's log-probabilities are the reference's", async () => {
  const model = committedGolden("q4-g128-act");
  const { ids } = loadGolden(model).prompts[2]!;
  await withEngine({ model }, async (engine) => {
    const request = { prompt: ids, promptLogprobs: true, topTokens: 3 };
    const { prompt, promptTop } = await answer(engine, request);
    assert.deepEqual([prompt![0], promptTop![0]], [null, []]);
    assert.equal(promptTop!.length, ids.length);
    const logits = (await loadReference(model)).forward(ids.slice(0, -1));
    logits.forEach((row, i) => {
      const logprobs = logSoftmax(row);
      const expected = logprobs[ids[i + 1]!]!;
      const best = [...logprobs].sort((a, b) => b - a);
      assert.equal(promptTop![i + 1]!.length, 3);
      promptTop![i + 1]!.forEach(({ id, logprob }, rank) => {
        assert(Math.abs(logprob - logprobs[id]!) <= TOLERANCE, `${logprob}, ${logprobs[id]}`);
        assert(Math.abs(logprob - best[rank]!) <= TOLERANCE, `${logprob}, ${best[rank]}`);
      });
      const found = prompt![i + 1]!;
      assert(
        Math.abs(found - expected) <= TOLERANCE,
        `token ${i + 1}: ${found}, expected ${expected}`,
      );
    });
  });
});

Deno.test("engine: alternatives are the best tokens of the reference, best first", async () => {
  const model = committedGolden("q4-g128-noact-asym");
  const { ids, lastLogits } = loadGolden(model).prompts[2]!;
  const expected = [...logSoftmax(lastLogits)].map((logprob, id) => ({ id, logprob }))
    .sort((a, b) => b.logprob - a.logprob);
  await withEngine({ model }, async (engine) => {
    for (const topTokens of [0, 1, 5, 20]) {
      const { tokens: [first] } = await answer(engine, { prompt: ids, topTokens });
      assert.equal(first!.top.length, topTokens);
      first!.top.forEach(({ id, logprob }, i) => {
        assert.equal(id, expected[i]!.id);
        assert(Math.abs(logprob - expected[i]!.logprob) <= TOLERANCE);
      });
      // Greedy without penalties changes nothing.
      assert.deepEqual(first!.processedTop, first!.top);
      assert.equal(first!.processedLogprob, first!.logprob);
    }
  });
});

Deno.test("engine: an answer ends at a stop token, which it holds", async () => {
  const model = committedGolden("q4-g128-act");
  const { ids, greedy } = loadGolden(model).prompts[1]!;
  const stop = greedy.findIndex((id, i) => i > 0 && !greedy.slice(0, i).includes(id));
  await withEngine({ model }, async (engine) => {
    const request = { prompt: ids, maxNewTokens: 16, sampling: GREEDY };
    const found = await answer(engine, { ...request, stopTokens: [greedy[stop]!] });
    assert.deepEqual(found.ids, greedy.slice(0, stop + 1));
    assert.equal(found.tokens.at(-1)!.finish, "stop_token");
  });
});

Deno.test("engine: it tells what was loaded", () =>
  withEngine({ model: committedGolden("q4-g128-act") }, async (engine) => {
    const info = await engine.ready;
    const { bits, groupSize, actOrder, vocabSize, maxPositions } = info;
    assert.deepEqual(
      { bits, groupSize, actOrder, vocabSize, maxPositions },
      { bits: 4, groupSize: 128, actOrder: true, vocabSize: 512, maxPositions: 2048 },
    );
    assert.notEqual(info.adapter, "");
    // The weights alone are as large as the file, but for act-order's g_idx.
    assert(info.gpuMemoryBytes > 800_000);
    const { state, progress, running, waiting, rows, blocksUsed, blocksTotal } = engine.stats();
    assert.deepEqual([state, progress, running, waiting], ["ready", 1, 0, 0]);
    assert.deepEqual([rows, blocksUsed, blocksTotal], [0, 0, 64]);
  }));
