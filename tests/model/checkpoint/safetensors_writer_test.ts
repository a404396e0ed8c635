import assert from "node:assert/strict";
import fc from "fast-check";
import { join } from "node:path";
import {
  type NewTensor,
  planShards,
  writeShards,
} from "../../../model/checkpoint/safetensors_writer.ts";
import { readSafetensors } from "../../safetensors.ts";

/** A tensor of I32 or F16 whose bytes are all `value`, in pieces of at most 7 bytes. */
function tensor(name: string, dtype: "I32" | "F16", shape: number[], value: number): NewTensor {
  const bytes = shape.reduce((product, size) => product * size, dtype === "I32" ? 4 : 2);
  return {
    name,
    dtype,
    shape,
    *pieces() {
      const piece = new Uint8Array(7).fill(value);
      for (let done = 0; done < bytes; done += 7) {
        yield piece.subarray(0, Math.min(7, bytes - done));
      }
    },
  };
}

async function withFolder(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await body(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const tensors = fc.uniqueArray(
  fc.record({
    name: fc.string({ unit: "binary", minLength: 1 }).filter((name) => name !== "__proto__"),
    dtype: fc.constantFrom("I32" as const, "F16" as const),
    shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 3 }),
    value: fc.integer({ min: 0, max: 255 }),
  }),
  { selector: ({ name }) => name, maxLength: 8 },
);

Deno.test("what is written can be read", async () => {
  await fc.assert(
    fc.asyncProperty(tensors, async (wanted) => {
      await withFolder(async (dir) => {
        const list = wanted.map((each) => tensor(each.name, each.dtype, each.shape, each.value));
        await writeShards(dir, planShards(list));
        const read = await readSafetensors(join(dir, "model.safetensors"));
        assert.equal(read.size, wanted.length);
        for (const { name, dtype, shape, value } of wanted) {
          const found = read.get(name)!;
          assert.deepEqual([found.dtype, found.shape], [dtype, shape]);
          const size = shape.reduce((product, each) => product * each, dtype === "I32" ? 4 : 2);
          assert.deepEqual(found.bytes, new Uint8Array(size).fill(value));
        }
      });
    }),
    { numRuns: 30 },
  );
});

Deno.test("a header is padded, and elements are aligned", () =>
  withFolder(async (dir) => {
    const list = [
      tensor("b", "F16", [3], 1),
      tensor("a", "F16", [], 2),
      tensor("c", "I32", [1], 3),
    ];
    await writeShards(dir, planShards(list));
    const bytes = await Deno.readFile(join(dir, "model.safetensors"));
    const text = '{"__metadata__":{"format":"pt"},' +
      '"c":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},' +
      '"a":{"dtype":"F16","shape":[],"data_offsets":[4,6]},' +
      '"b":{"dtype":"F16","shape":[3],"data_offsets":[6,12]}}';
    const padded = text.padEnd(Math.ceil(text.length / 8) * 8);
    assert.deepEqual(bytes.slice(0, 8), new Uint8Array([padded.length, 0, 0, 0, 0, 0, 0, 0]));
    assert.equal(new TextDecoder().decode(bytes.slice(8, 8 + padded.length)), padded);
    assert.deepEqual([...bytes.slice(8 + padded.length)], [3, 3, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1]);
  }));

Deno.test("shards fill up in order; a tensor that is too large stands alone", () => {
  const list = [3, 3, 9, 1, 4].map((size, i) => tensor(`t${i}`, "F16", [size], i));
  const names = planShards(list, 12).map(({ file, tensors }) => [
    file,
    ...tensors.map(({ name }) => name),
  ]);
  assert.deepEqual(names, [
    ["model-00001-of-00003.safetensors", "t0", "t1"],
    ["model-00002-of-00003.safetensors", "t2"],
    ["model-00003-of-00003.safetensors", "t3", "t4"],
  ]);
});

Deno.test("the index names each tensor's file", () =>
  withFolder(async (dir) => {
    const list = [tensor("b", "F16", [2], 1), tensor("a", "I32", [1], 2)];
    await writeShards(dir, planShards(list, 4));
    assert.equal(
      await Deno.readTextFile(join(dir, "model.safetensors.index.json")),
      `{
  "metadata": {
    "total_size": 8
  },
  "weight_map": {
    "a": "model-00002-of-00002.safetensors",
    "b": "model-00001-of-00002.safetensors"
  }
}
`,
    );
  }));

Deno.test("a tensor with too few or too many bytes is refused", () =>
  withFolder(async (dir) => {
    const short = { ...tensor("t", "F16", [2], 1), shape: [3] };
    await assert.rejects(
      writeShards(dir, planShards([short])),
      new RangeError("Tensor t should have 6 bytes, found 4."),
    );
  }));

Deno.test("nothing is overwritten, and an abort stops the writing", () =>
  withFolder(async (dir) => {
    const shards = planShards([tensor("t", "F16", [10], 1)]);
    const stop = new AbortController();
    const reason = new Error("enough");
    const onBytes = () => stop.abort(reason);
    await assert.rejects(writeShards(dir, shards, { onBytes, signal: stop.signal }), reason);
    await assert.rejects(writeShards(dir, shards), Deno.errors.AlreadyExists);
  }));
