import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import { readOnce } from "../../gpu/readback.ts";
import {
  candidateBytes,
  penalize,
  type Penalties,
  PENALTIES_BYTES,
  writePenalties,
} from "../../kernels/penalize.ts";
import { poisoned, randomFloats, readFloats, runPass, withGpu } from "../helpers.ts";

const VOCAB = 2500; // two chunks of 2048, the second one not full
const CHUNK = 2048;
const NEUTRAL: Penalties = {
  slot: 0,
  repetition: 1,
  frequency: 0,
  wholeContext: false,
  presence: 0,
  temperature: 1,
  biased: false,
  wanted: 0,
};

/** One entry of `parts`, in the order of its words. */
interface Part {
  largest: number;
  sum: number;
  scoresLargest: number;
  scoresSum: number;
  best: number;
  invalid: number;
}

/** Runs the kernel; `counts` and `biases` are (slots, VOCAB). */
function run(
  logits: Float32Array[],
  counts: number[][],
  rows: Penalties[],
  biases: number[][] = counts.map(() => new Array<number>(VOCAB).fill(NaN)),
) {
  const out = {
    scores: [] as Float32Array[],
    parts: [] as Part[][],
    /** Pairs of sort key and id, by chunk and rank. */
    candidates: [] as [number, number][][][],
  };
  return withGpu(async (gpu) => {
    const parameters = new DataView(new ArrayBuffer(rows.length * PENALTIES_BYTES));
    rows.forEach((row, i) => writePenalties(parameters, i, row));
    const scores = poisoned(gpu, "scores", rows.length * VOCAB);
    const parts = poisoned(gpu, "parts", rows.length * 2 * 6);
    const candidates = poisoned(gpu, "candidates", rows.length * candidateBytes(2) / 4);
    const call = (await penalize(gpu, VOCAB)).bind({
      rows: storageFrom(gpu, "rows", parameters),
      logits: storageFrom(gpu, "logits", Float32Array.from(logits.flatMap((row) => [...row]))),
      counts: storageFrom(gpu, "counts", Uint32Array.from(counts.flat())),
      biases: storageFrom(gpu, "biases", Float32Array.from(biases.flat())),
      scores,
      parts,
      candidates,
    });
    runPass(gpu, (pass) => call.dispatch(pass, rows.length));
    const found = await readFloats(gpu, scores);
    const bytes = new DataView(await readOnce(gpu, parts, parts.size));
    const pairs = new Uint32Array(await readOnce(gpu, candidates, candidates.size));
    for (const r of rows.keys()) {
      out.candidates.push([0, 1].map((chunk) =>
        Array.from({ length: 65 }, (_, rank) => {
          const at = 2 * ((r * 65 + rank) * 2 + chunk);
          return [pairs[at]!, pairs[at + 1]!];
        })
      ));
      out.scores.push(found.slice(r * VOCAB, (r + 1) * VOCAB));
      out.parts.push([0, 1].map((chunk) => {
        const at = (2 * r + chunk) * 24;
        const float = (word: number) => bytes.getFloat32(at + 4 * word, true);
        return {
          largest: float(0),
          sum: float(1),
          scoresLargest: float(2),
          scoresSum: float(3),
          best: bytes.getUint32(at + 16, true),
          invalid: bytes.getUint32(at + 20, true),
        };
      }));
    }
  }).then(() => out);
}

function softmaxSum(row: number[], temperature: number): number {
  const largest = Math.max(...row);
  return row.reduce((sum, value) => sum + Math.exp((value - largest) / temperature), 0);
}

function assertRelative(found: number, expected: number, what: string): void {
  assert(Math.abs(found - expected) <= 2e-6 * Math.abs(expected), `${what}: ${found}, ${expected}`);
}

Deno.test("penalize: repetition first, then frequency and presence, by what was counted", async () => {
  const counts = new Array<number>(VOCAB).fill(0);
  counts[1] = 3; // generated three times
  counts[2] = 2 << 16; // twice in the prompt
  counts[3] = (1 << 16) + 1;
  const other = new Array<number>(VOCAB).fill(1);
  const logits = new Float32Array(VOCAB).fill(0.5);
  logits.set([4, 4, 4, -4, -4]);
  const rows = [
    { ...NEUTRAL, repetition: 2 },
    { ...NEUTRAL, frequency: 0.25, presence: 1 },
    { ...NEUTRAL, frequency: 0.25, wholeContext: true },
    { ...NEUTRAL, repetition: 2, frequency: -0.25, presence: -0.5 },
    { ...NEUTRAL, slot: 1, presence: 2 },
  ];
  const { scores } = await run(rows.map(() => logits), [counts, other], rows);
  assert.deepEqual(scores.map((row) => [...row.subarray(0, 6)]), [
    [4, 2, 2, -8, -4, 0.5],
    [4, 2.25, 4, -5.25, -4, 0.5],
    [4, 3.25, 3.5, -4.5, -4, 0.5],
    [4, 3.25, 2, -7.25, -4, 0.5],
    [2, 2, 2, -6, -6, -1.5],
  ]);
});

Deno.test("penalize: a row's biases come first, and only where it asks for them", async () => {
  const counts = [0, 1].map(() => new Array<number>(VOCAB).fill(0));
  const biases = [0, 1].map(() => new Array<number>(VOCAB).fill(0));
  counts[1]![1] = 2;
  biases[1]!.splice(0, 3, -100, 4, 0.5);
  biases[1]![2400] = 100;
  const logits = new Float32Array(VOCAB).fill(-2);
  logits[3] = -Infinity;
  biases[1]![3] = 100;
  const rows = [
    { ...NEUTRAL, slot: 1 },
    { ...NEUTRAL, slot: 1, biased: true },
    { ...NEUTRAL, slot: 1, biased: true, repetition: 2, frequency: 0.25, presence: 1 },
    { ...NEUTRAL, slot: 0, biased: true },
  ];
  const { scores, parts } = await run(rows.map(() => logits), counts, rows, biases);
  assert.deepEqual(scores.map((row) => [0, 1, 2, 3, 4, 2400].map((id) => row[id])), [
    [-2, -2, -2, -Infinity, -2, -2],
    [-102, 2, -1.5, -Infinity, -2, 98],
    // The bias makes the logit positive, so the penalty divides it: 2 / 2 - 2 * 0.25 - 1.
    [-102, -0.5, -1.5, -Infinity, -2, 98],
    [-2, -2, -2, -Infinity, -2, -2],
  ]);
  assert.deepEqual(parts.map(([first, second]) => [first!.best, second!.best]), [
    [0, 2048],
    [1, 2400],
    [1, 2400],
    [0, 2048],
  ]);
  // The sums of the untouched logits know nothing of it.
  for (const [, second] of parts) assert.deepEqual([second!.largest, second!.sum], [-2, 452]);
});

Deno.test("penalize: each chunk's softmax sums, and its best token, the lowest id of equals", async () => {
  const counts = new Array<number>(VOCAB).fill(0);
  counts[7] = counts[2100] = 1;
  const logits = randomFloats(VOCAB, 3, 4);
  logits[7] = logits[2100] = 30; // the best logits, but not the best scores
  logits[900] = logits[300] = logits[301] = 12;
  const huge = randomFloats(VOCAB, 4, 1e4);
  const rows = [{ ...NEUTRAL, presence: 60, temperature: 0.7 }, { ...NEUTRAL, temperature: 1.7 }];
  const { scores, parts } = await run([logits, huge], [counts], rows);
  assert.equal(parts[0][0].best, 300);
  for (const [r, row] of [logits, huge].entries()) {
    for (const [chunk, part] of parts[r].entries()) {
      const raw = [...row.subarray(chunk * CHUNK, (chunk + 1) * CHUNK)];
      const left = [...scores[r].subarray(chunk * CHUNK, (chunk + 1) * CHUNK)];
      assert.equal(part.largest, Math.max(...raw));
      assert.equal(part.scoresLargest, Math.max(...left));
      assert.equal(part.best, chunk * CHUNK + left.indexOf(part.scoresLargest));
      assert.equal(part.invalid, 0);
      assertRelative(part.sum, softmaxSum(raw, 1), "sum of the logits");
      assertRelative(part.scoresSum, softmaxSum(left, rows[r].temperature), "sum of the scores");
    }
  }
});

Deno.test("penalize: no NaN gets through, and -Infinity is a token that cannot come", async () => {
  const row = (changes: Record<number, number>) => {
    const logits = new Float32Array(VOCAB);
    for (const [id, value] of Object.entries(changes)) logits[Number(id)] = value;
    return logits;
  };
  const logits = [
    row({ 5: NaN }),
    row({ 2400: Infinity }),
    row({ 6: -Infinity, 8: 1 }),
    row({ 7: 3e38 }), // divided by the penalty it is beyond single precision
  ];
  const counts = new Array<number>(VOCAB).fill(0);
  counts[7] = 1;
  const rows = [NEUTRAL, NEUTRAL, NEUTRAL, { ...NEUTRAL, repetition: 0.01 }];
  const { scores, parts } = await run(logits, [counts], rows);
  const invalid = parts.map((chunks) => chunks.map((part) => part.invalid));
  assert.deepEqual(invalid, [[1, 0], [0, 1], [0, 0], [1, 0]]);
  assert.deepEqual([scores[0][5], scores[1][2400], scores[2][6], scores[3][7]], [
    -Infinity,
    -Infinity,
    -Infinity,
    -Infinity,
  ]);
  assert.equal(parts[2][0].largest, 1);
  assertRelative(parts[2][0].sum, 1 + 2046 * Math.exp(-1), "sum without the token removed");
});

Deno.test("penalize: the best tokens of each chunk, best first, the lowest id of equals", async () => {
  const counts = new Array<number>(VOCAB).fill(0);
  counts[7] = 1;
  const random = randomFloats(VOCAB, 5, 4);
  random[7] = 30; // the penalty takes it far down
  random[8] = -Infinity;
  const rounded = random.map((value) => Math.round(value));
  const few = new Float32Array(VOCAB).fill(-Infinity);
  few.set([2, 5, 5, 1], 2040);
  const rows: [Float32Array, number][] = [
    [random, 65],
    [random, 2],
    [rounded, 65],
    [rounded, 41],
    [new Float32Array(VOCAB), 65],
    [few, 65],
    [random.map((value, id) => (id % 256 < 4 ? 20 : 0) + value), 65],
    [random.map((_, id) => id), 65],
  ];
  const { scores, candidates } = await run(
    rows.map(([logits]) => logits),
    [counts],
    rows.map(([, wanted]) => ({ ...NEUTRAL, presence: 60, wanted })),
  );
  for (const [r, [, wanted]] of rows.entries()) {
    for (const chunk of [0, 1]) {
      const own = scores[r]!.subarray(chunk * CHUNK, (chunk + 1) * CHUNK);
      const best = [...own.keys()].filter((id) => own[id]! > -Infinity)
        .sort((a, b) => own[b]! - own[a]! || a - b).slice(0, wanted);
      const pairs = best.map((id) => [sortKey(own[id]!), chunk * CHUNK + id]);
      while (pairs.length < wanted) pairs.push([0, 0]);
      const found = candidates[r]![chunk]!.slice(0, wanted);
      // Of all too many equals some stand for all: their keys count, not which they are.
      const shown = ([key, id]: number[]) => r === 4 ? [key] : [key, id];
      assert.deepEqual(found.map(shown), pairs.map(shown), `row ${r}, chunk ${chunk}`);
    }
  }
});

function sortKey(score: number): number {
  const [bits] = new Uint32Array(new Float32Array([score === 0 ? 0 : score]).buffer);
  return (bits! & 0x80000000 ? ~bits! : bits! | 0x80000000) >>> 0;
}
