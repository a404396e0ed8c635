/** The float64 reference against Hugging Face's numbers and the literals of its formulas. */

import assert from "node:assert/strict";
import {
  agreedGreedy,
  committedGolden,
  goldenDirs,
  loadGolden,
  loadGoldenSampling,
  nmse,
} from "./golden.ts";
import {
  dequantize,
  erf,
  gelu,
  layerNorm,
  linear,
  loadReference,
  logSoftmax,
  rotary,
  softmax,
} from "./reference.ts";
import { buildLinear } from "./reference_checkpoint.ts";
import { processLogits } from "./reference_sampling.ts";

function close(actual: ArrayLike<number>, expected: number[], tolerance = 1e-14): void {
  assert.equal(actual.length, expected.length);
  expected.forEach((value, i) => {
    assert(Math.abs(actual[i]! - value) <= tolerance, `[${i}]: ${actual[i]}, expected ${value}`);
  });
}

for (const dir of goldenDirs()) {
  const golden = loadGolden(dir);
  Deno.test(`reference: ${golden.name} has Hugging Face's logits and tokens`, async () => {
    const reference = await loadReference(dir);
    for (const prompt of golden.prompts) {
      const { ids } = prompt;
      const logits = reference.forward(ids);
      const error = nmse(logits.at(-1)!, prompt.lastLogits);
      // Golden logits have six decimals; Hugging Face's rotary angles are float32, ours float64.
      assert(error <= 1e-9, `${ids.length} ids: NMSE ${error}`);
      if (prompt.meanLogprob !== null) {
        const sum = ids.slice(1).reduce((s, id, t) => s + logSoftmax(logits[t]!)[id]!, 0);
        close([sum / (ids.length - 1)], [prompt.meanLogprob], 1e-4);
      }
      const { tokens, margins } = reference.greedy(ids, prompt.greedy.length);
      const agreed = agreedGreedy(prompt.greedy, prompt.greedyMargin, tokens);
      close(margins.slice(0, agreed), prompt.greedyMargin.slice(0, agreed), 1e-3);
    }
  });
}

Deno.test("reference: prefill, chunks and token by token agree", async () => {
  const dir = committedGolden("q4-g128-act");
  const reference = await loadReference(dir);
  const { ids } = loadGolden(dir).prompts[2]!;
  const whole = reference.forward(ids);
  for (const size of [1, 7]) {
    const cache = reference.newCache(), pieces: Float64Array[] = [];
    for (let i = 0; i < ids.length; i += size) {
      pieces.push(...reference.forward(ids.slice(i, i + size), { cache }));
    }
    assert.equal(pieces.length, ids.length);
    pieces.forEach((row, t) => assert(nmse(row, whole[t]!) <= 1e-20, `position ${t}`));
  }
  assert.deepEqual(reference.forward(ids, { last: true }), whole.slice(-1));
});

Deno.test("golden: NMSE, and where greedy tokens may part", () => {
  assert.equal(nmse([1, 2, 4], [1, 2, 2]), 4 / 9);
  assert(Number.isNaN(nmse([1], [1, 2])));
  assert.equal(agreedGreedy([5, 6, 7], [1, 0.02, 1], [5, 9, 9]), 1);
  assert.equal(agreedGreedy([5, 6, 7], [1, 0.03, 1], [5, 6, 7]), 3);
  assert.throws(() => agreedGreedy([5, 6, 7], [1, 0.03, 1], [5, 9, 7]));
  assert.throws(() => agreedGreedy([5, 6, 7], [1, 1, 1], [5, 6]));
});

Deno.test("reference: erf and gelu, against tabulated values", () => {
  const table = [ // as the C library's erf prints them
    [0.01, 0.011283415555849616],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [3.5, 0.9999992569016276],
    [50, 1],
  ] as const;
  for (const [x, expected] of table) close([erf(x), erf(-x)], [expected, -expected], 2e-15);
  assert.equal(erf(0), 0);
  close([gelu(1), gelu(-1), gelu(0), gelu(40)], [0.8413447460685429, -0.15865525393145707, 0, 40]);
});

Deno.test("reference: layerNorm, softmax and rotary on numbers done by hand", () => {
  const norm = { weight: Float64Array.of(1, 1, 2, 1), bias: Float64Array.of(0, 0, 0, 10) };
  close(layerNorm(Float64Array.of(1, 3, 3, 1), norm, 0), [-1, 1, 2, 9]);
  close(layerNorm(Float64Array.of(1, 3, 3, 1), norm, 3), [-0.5, 0.5, 1, 9.5]);
  close(softmax([Math.log(1), Math.log(3), -Infinity]), [0.25, 0.75, 0]);
  close(softmax([1000, 1000]), [0.5, 0.5]);
  // d = 4: pair (0, 2) turns by 1 a position, pair (1, 3) by theta^(-1/2) = 1/100.
  const turned = rotary(Float64Array.of(1, 0, 0, 1), 2, 10000);
  close(turned, [Math.cos(2), -Math.sin(0.02), Math.sin(2), Math.cos(0.02)]);
});

Deno.test("reference: dequantising, packed by hand", () => {
  const parts = {
    bits: 4,
    groupSize: 4,
    outFeatures: 8,
    // One word a column: k = 0 in the lowest four bits. Column n holds n + k, modulo 16.
    qweight: Int32Array.from({ length: 8 }, (_, n) => {
      let word = 0;
      for (let k = 0; k < 8; k++) word |= ((n + k) % 16) << (4 * k);
      return word;
    }),
    qzeros: Int32Array.of(0x7777777f, 0x66666666), // group 0: 15 for column 0, else 7; group 1: 6
    scales: Float16Array.from({ length: 16 }, (_, i) => i < 8 ? 0.5 : 0.25),
  };
  const at = (weight: Float32Array, k: number, n: number) => weight[k * 8 + n];

  const v1 = dequantize(buildLinear({ ...parts, v2: false }));
  assert.equal(at(v1, 0, 0), 0.5 * (0 - 16)); // 15 + 1 is not masked to 0
  assert.equal(at(v1, 3, 2), 0.5 * (5 - 8));
  assert.equal(at(v1, 4, 2), 0.25 * (6 - 7)); // the second group of four rows
  assert.equal(at(v1, 7, 7), 0.25 * (14 - 7));

  const v2 = dequantize(buildLinear({ ...parts, v2: true }));
  assert.equal(at(v2, 0, 0), 0.5 * (0 - 15));

  const groupIndex = Int32Array.of(1, 0, 1, 0, 1, 0, 1, 0);
  const shuffled = dequantize(buildLinear({ ...parts, v2: false, groupIndex }));
  assert.equal(at(shuffled, 0, 2), 0.25 * (2 - 7));
  assert.equal(at(shuffled, 7, 7), 0.5 * (14 - 8));

  const eight = buildLinear({
    bits: 8,
    groupSize: -1,
    v2: false,
    outFeatures: 4,
    qweight: Int32Array.of(0x04030201, -1, 0, 0x80), // column 1 holds 255 in every row
    qzeros: Int32Array.of(0x7f7f7f7f),
    scales: Float32Array.of(1, 1, 2, 1),
    bias: Float32Array.of(0, 1000, 0, 0),
  });
  const [y] = linear([Float64Array.of(1, 10, 100, 1000)], eight);
  // Columns minus 128: [-127 -126 -125 -124], [127 ...], [-128 ...] * 2, [0 -128 -128 -128].
  close(y!, [-137887, 127 * 1111 + 1000, -256 * 1111, -128 * 1110]);
});

for (const [i, golden] of loadGoldenSampling().entries()) {
  const name = JSON.stringify(golden.params);
  Deno.test(`reference: sampling case ${i} ${name} keeps Hugging Face's tokens`, () => {
    const { kept, logprobs } = processLogits(golden.logits, golden.params, golden.context);
    const ids = Object.keys(golden.kept).map(Number);
    assert.deepEqual([...kept.keys()], ids);
    for (const id of ids) {
      close([kept.get(id)!, Math.exp(logprobs[id]!)], Array(2).fill(golden.kept[id]!), 1e-6);
    }
    assert.equal(logprobs.filter((logprob) => logprob > -Infinity).length, ids.length);
  });
}

Deno.test("reference: sampling steps that Hugging Face's cases do not reach", () => {
  const logits = [2, -1, 2, 0.5];
  function scores(params: Parameters<typeof processLogits>[1], context: number[], out: number[]) {
    const { logprobs } = processLogits(logits, params, context, out);
    return logprobs.map((value) => value - logprobs[3]! + 0.5); // id 3 is never penalised here
  }
  close(scores({ frequency_penalty: 0.5 }, [0, 1, 2, 2], [2, 2]), [2, -1, 1, 0.5]);
  close(scores({ presence_penalty: 0.5 }, [0, 1, 2, 2], [2, 2]), [2, -1, 1.5, 0.5]);
  const shared = { frequency_penalty: 2, frequency_scope: "context" } as const;
  close(scores(shared, [0, 1, 2, 2], [2, 2]), [1.5, -1.5, 1, 0.5]);
  const both = { repetition_penalty: 2, frequency_penalty: 1 };
  close(scores(both, [1, 2], [1, 2]), [2, -3, 0, 0.5]); // the repetition penalty comes first

  assert.deepEqual([...processLogits(logits, { top_k: 1 }, []).kept.keys()], [0, 2]); // ties stay
  const greedy = processLogits(logits, { temperature: 0, top_k: 1 }, []);
  assert.deepEqual([...greedy.kept], [[0, 1]]);
  close(greedy.logprobs, [...logSoftmax(logits)]);
});
