/**
 * Synthetic weights: unpacked with the tests' own reader, held against AutoGPTQ's formula, and run
 * through the reference.
 */
import assert from "node:assert/strict";
import type { SynthOptions } from "../../model/synth.ts";
import { dequantizeRow, loadReference, type Reference } from "../reference.ts";
import { floats, ints } from "../safetensors.ts";
import { BRANCHES, readAll, withSynthetic } from "./synthetic.ts";

function deviation(values: ArrayLike<number>): { mean: number; std: number } {
  let sum = 0, squares = 0;
  for (let i = 0; i < values.length; i++) {
    sum += values[i]!;
    squares += values[i]! ** 2;
  }
  const mean = sum / values.length;
  return { mean, std: Math.sqrt(squares / values.length - mean ** 2) };
}

for (const { bits, groupSize, groups } of BRANCHES) {
  Deno.test(`weights are as large as they should be: ${bits} bits, groups of ${groupSize || "all"}`, async () => {
    for (const symmetric of [true, false]) {
      await withSynthetic({ bits, groupSize, symmetric, bias: !symmetric }, async (dir) => {
        // By AutoGPTQ's formula: scale * (q - (stored zero + 1)).
        const { weights } = await loadReference(dir);
        for (const layer of weights.layers) {
          const gains = [[layer.queryKeyValue, 1.2], [layer.dense, 1], [layer.up, 1.5], [
            layer.down,
            1.5,
          ]] as const;
          for (const [linear, gain] of gains) {
            const { inFeatures, outFeatures, scales } = linear;
            assert.equal(scales.length / outFeatures, groups[inFeatures === 192 ? 0 : 1]);
            const values = new Float64Array(inFeatures * outFeatures);
            for (let k = 0; k < inFeatures; k++) {
              dequantizeRow(linear, k, values.subarray(k * outFeatures, (k + 1) * outFeatures));
            }
            const { mean, std } = deviation(values);
            const expected = gain / Math.sqrt(inFeatures);
            assert.ok(Math.abs(std / expected - 1) < 0.06, `std ${std}, expected ${expected}`);
            // A zero point that is off by one would show as a fiftieth (8 bits) or more.
            assert.ok(Math.abs(mean / std) < 0.011, `mean ${mean}, std ${std}`);
            assert.equal(linear.bias === undefined, symmetric);
          }
        }
      });
    }
  });
}

Deno.test("symmetric weights have one zero point, stored less one, and every value", async () => {
  for (const [bits, stored] of [[4, 0x77777777], [8, 0x7f7f7f7f]] as const) {
    await withSynthetic({ bits }, async (dir) => {
      const values = new Set<number>();
      for (const [name, tensor] of await readAll(dir)) {
        if (name.endsWith(".qzeros")) {
          assert.ok(ints(tensor).every((word) => word === stored), name);
        } else if (name.endsWith(".qweight")) {
          for (const word of ints(tensor)) {
            for (let shift = 0; shift < 32; shift += bits) {
              values.add((word >>> shift) & (2 ** bits - 1));
            }
          }
        }
      }
      assert.equal(values.size, 2 ** bits);
    });
  }
});

Deno.test("asymmetric zero points differ by group and column", () =>
  withSynthetic({ symmetric: false }, async (dir) => {
    const { layers } = (await loadReference(dir)).weights;
    for (const { up } of layers) {
      assert.deepEqual([...new Set(up.zeros)].sort((a, b) => a - b), [
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        11,
        12,
      ]);
      assert.notDeepEqual(up.zeros.slice(0, 768), up.zeros.slice(768));
    }
  }));

Deno.test("with act-order, groups scatter; readers of one norm share an order", async () => {
  await withSynthetic({}, async (dir) => {
    const { layers } = (await loadReference(dir)).weights;
    for (const { queryKeyValue, dense, up, down } of layers) {
      for (const [{ group }, sizes] of [[up, [128, 64]], [down, Array(6).fill(128)]] as const) {
        const found = sizes.map((_, g) => group.filter((each) => each === g).length);
        assert.deepEqual(found, sizes);
        assert.notDeepEqual(group, group.toSorted());
      }
      assert.deepEqual(queryKeyValue.group, up.group);
      assert.notDeepEqual(dense.group, up.group);
    }
    assert.notDeepEqual(layers[0]!.up.group, layers[1]!.up.group);
  });
  await withSynthetic({ actOrder: false, groupSize: 64 }, async (dir) => {
    const [layer] = (await loadReference(dir)).weights.layers;
    for (const { group } of [layer!.up, layer!.down]) {
      assert.deepEqual([...group], Array.from(group, (_, k) => Math.floor(k / 64)));
    }
  });
});

Deno.test("norms are near the identity, and the whole model is a sane transformer", async () => {
  for (const options of [{}, { symmetric: false, actOrder: false }, { bits: 8, groupSize: 0 }]) {
    const shape = { hiddenSize: 192, layers: 4, heads: 3, vocabSize: 512 };
    await withSynthetic({ shape, ...options } as Partial<SynthOptions>, async (dir) => {
      const tensors = await readAll(dir);
      for (const name of ["transformer.h.3.input_layernorm", "transformer.ln_f"]) {
        const weight = deviation(floats(tensors.get(`${name}.weight`)!).map(Math.abs));
        assert.ok(Math.abs(weight.mean - 1) < 0.05 && Math.abs(weight.std - 0.1) < 0.03, name);
      }
      checkLogits(await loadReference(dir));
    });
  }
});

/** Neither flat nor exploding, told apart by the prompt, and greedy decoding moves on. */
function checkLogits(reference: Reference): void {
  const prompts = [[3, 141, 59, 26], [27, 182, 81, 4], [500, 1]];
  const logits = prompts.map((ids) => reference.forward(ids, { last: true })[0]!);
  for (const row of logits) {
    const { std } = deviation(row);
    assert.ok(std > 0.5 && std < 10, `the logits' standard deviation is ${std}`);
  }
  const [a, b] = logits as [Float64Array, Float64Array];
  const product = a.reduce((sum, value, i) => sum + value * b[i]!, 0) / a.length;
  const correlation = product / (deviation(a).std * deviation(b).std);
  assert.ok(Math.abs(correlation) < 0.5, `two prompts' logits correlate by ${correlation}`);
  const { tokens } = reference.greedy(prompts[0]!, 24);
  assert.ok(new Set(tokens).size >= 8, `greedy tokens repeat: ${tokens}`);
}
