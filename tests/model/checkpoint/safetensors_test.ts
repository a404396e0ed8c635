/** Safetensors headers as bytes made by hand; the rules are those of the reference implementation. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { CheckpointError } from "../../../model/checkpoint/error.ts";
import { readSafetensorsHeader, type TensorInfo } from "../../../model/checkpoint/safetensors.ts";
import { goldenDirs } from "../../golden.ts";
import { readSafetensors } from "../../safetensors.ts";
import { refused } from "./damaged.ts";

/** A file: header length, header, data. `length` lies about the header where given. */
function bytesOf(
  header: string | Uint8Array<ArrayBuffer>,
  dataBytes = 0,
  length?: bigint,
): Uint8Array<ArrayBuffer> {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

/** The JSON of one tensor entry. */
function entry(dtype: string, shape: unknown, ...offsets: unknown[]): string {
  return JSON.stringify({ dtype, shape, data_offsets: offsets });
}

async function read(bytes: Uint8Array<ArrayBuffer>): Promise<Map<string, TensorInfo>> {
  const path = await Deno.makeTempFile({ suffix: ".safetensors" });
  try {
    await Deno.writeFile(path, bytes);
    using file = await Deno.open(path);
    return await readSafetensorsHeader(file, path);
  } finally {
    await Deno.remove(path);
  }
}

function refuse(bytes: Uint8Array<ArrayBuffer>, ...words: string[]): Promise<void> {
  return refused(() => read(bytes), ".safetensors: ", ...words);
}

Deno.test("safetensors: goldens are read as JSON.parse reads them", async () => {
  for (const dir of goldenDirs()) {
    const path = `${dir}/model.safetensors`;
    if (!await Deno.stat(path).then(() => true, () => false)) continue;
    using file = await Deno.open(path);
    const ours = await readSafetensorsHeader(file, path);
    const expected = await readSafetensors(path);
    assert.deepEqual([...ours.keys()].sort(), [...expected.keys()].sort());
    for (const [name, { dtype, shape, bytes }] of expected) {
      const { offset, ...tensor } = ours.get(name)!;
      assert.deepEqual(tensor, { name, dtype, shape, path, bytes: bytes.length });
      await file.seek(offset, Deno.SeekMode.Start);
      const head = new Uint8Array(Math.min(16, bytes.length));
      await file.read(head);
      assert.deepEqual(head, bytes.slice(0, head.length));
    }
  }
});

Deno.test("safetensors: what the format allows", async () => {
  assert.equal((await read(bytesOf("{}"))).size, 0);
  assert.equal((await read(bytesOf('{"__metadata__":{"format":"pt"}}'))).size, 0);
  const text = `{"b":${entry("F16", [2], 4, 8)}, "none":${entry("I32", [0, 7], 4, 4)},
    "a":${entry("I32", [], 0, 4)}}   `;
  const tensors = await read(bytesOf(text, 8));
  assert.deepEqual([...tensors.keys()], ["a", "none", "b"]);
  assert.deepEqual(tensors.get("b")!.offset, 8 + new TextEncoder().encode(text).length + 4);
  assert.deepEqual(tensors.get("a")!.shape, []);
});

Deno.test("safetensors: names are only names", async () => {
  for (const name of ["__proto__", "constructor", "", "é \\u0041", "a\\nb"]) {
    const tensors = await read(bytesOf(`{"${name}":${entry("U8", [1], 0, 1)}}`, 1));
    assert.deepEqual([...tensors.keys()], [JSON.parse(`"${name}"`)]);
  }
});

Deno.test("safetensors: a bad header length is refused", async () => {
  await refuse(new Uint8Array(0), "at least 8 bytes", "found 0");
  await refuse(new Uint8Array(7), "at least 8 bytes", "found 7");
  await refuse(bytesOf("{}", 0, 3n), "at least 11 bytes", "found 10");
  await refuse(bytesOf("{}", 0, 100_000_001n), "at most 100000000", "found 100000001");
  await refuse(bytesOf("{}", 0, 2n ** 63n), "header length", `found ${2n ** 63n}`);
  await refuse(bytesOf("{}", 0, 2n ** 64n - 1n), "header length");
  await refuse(bytesOf(""), '"{"', "an empty header");
  const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
  await refuse(new TextEncoder().encode(pointer), "Git LFS pointer");
});

Deno.test("safetensors: a header that is no strict JSON is refused", async () => {
  const tensor = entry("U8", [1], 0, 1);
  await refuse(bytesOf(` {"a":${tensor}}`, 1), '"{"', "byte 32");
  await refuse(bytesOf("[]"), '"{"', "byte 91");
  await refuse(bytesOf(`\ufeff{}`), '"{"', "byte 239");
  await refuse(bytesOf(Uint8Array.of(123, 34, 255, 34, 125)), "UTF-8");
  await refuse(bytesOf(`{"a":${tensor},"a":${tensor}}`, 1), "each key once", '"a" twice');
  await refuse(
    bytesOf(`{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1),
    '"a"',
    '"dtype" twice',
  );
  await refuse(bytesOf(`{"a":${tensor}} x`, 1), "the end of the header", '"x"');
  await refuse(bytesOf(`{"a":${tensor},}`, 1), "a key in quotes", '"}"');
  await refuse(bytesOf(`{"a":${tensor}`, 1), '"}"', "the end of the text");
  await refuse(bytesOf(`{"a`), "a well-formed string");
  await refuse(bytesOf(`{"\\ud800":${tensor}}`, 1), "a well-formed string");
  await refuse(bytesOf(`{"a\nb":${tensor}}`, 1), "a well-formed string");
  await refuse(bytesOf(`{a:${tensor}}`, 1), "a key in quotes");
  await refuse(bytesOf(`{"a":${"[".repeat(100_000)}`), "8 levels");
});

Deno.test("safetensors: entries of another kind are refused", async () => {
  const one = (text: string) => bytesOf(`{"a":${text}}`, 1);
  await refuse(one("1"), 'tensor "a"', "an object", "found 1");
  await refuse(one("null"), '"a"', "whole number", '"null"');
  await refuse(one('{"dtype":"U8","shape":[1]}'), '"a"', "data_offsets", '"dtype, shape"');
  await refuse(one(entry("U8", [1], 0, 1).replace("{", '{"x":1,')), 'keys of tensor "a"', "x");
  await refuse(one(entry("U9", [1], 0, 1)), 'dtype of tensor "a"', '"U9"');
  await refuse(one(entry("toString", [1], 0, 1)), 'dtype of tensor "a"', '"toString"');
  await refuse(one(entry("U8", "1", 0, 1)), 'shape of tensor "a"', '"1"');
  await refuse(one(entry("U8", ["1"], 0, 1)), 'shape of tensor "a"');
  await refuse(one(entry("U8", [1], 0)), 'data_offsets of tensor "a"', "two");
  await refuse(one(entry("U8", [1], 0, 1, 2)), 'data_offsets of tensor "a"', "two");
  await refuse(one(entry("U8", [-1], 0, 1)), '"a", "shape"', "whole number from 0", '"-1"');
  await refuse(one(entry("U8", [1.5], 0, 1)), '"a", "shape"', '"1.5"');
  await refuse(one('{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}'), '"shape"', '"1.0"');
  await refuse(one('{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}'), '"shape"', '"1e0"');
  await refuse(one('{"dtype":"U8","shape":[01],"data_offsets":[0,1]}'), '"shape"', '"01"');
  await refuse(one(entry("U8", [1], -1, 0)), '"data_offsets"', '"-1"');
  for (const metadata of ['{"a":1}', '"text"', "[]", '{"a":{}}']) {
    await refuse(bytesOf(`{"__metadata__":${metadata}}`), "__metadata__", "an object of strings");
  }
});

Deno.test("safetensors: sizes that do not add up are refused", async () => {
  const two = (a: string, b: string) => `{"a":${a},"b":${b}}`;
  const a = entry("F16", [2], 0, 4);
  await refuse(bytesOf(two(a, entry("U8", [4], 5, 9)), 9), 'tensor "b"', "byte 4", "hole");
  await refuse(bytesOf(two(a, entry("U8", [4], 2, 6)), 6), 'tensor "b"', "byte 4", "overlap");
  await refuse(bytesOf(two(a, entry("U8", [4], 0, 4)), 4), 'tensor "b"', "overlap");
  await refuse(bytesOf(`{"a":${entry("U8", [1], 1, 2)}}`, 2), 'tensor "a"', "byte 0", "hole");
  await refuse(bytesOf(`{"a":${a}}`, 3), "the file", "cut short");
  await refuse(bytesOf(`{"a":${a}}`, 5), "the file", "something follows");
  await refuse(bytesOf("{}", 1), "the file", "something follows");
  await refuse(bytesOf(`{"a":${entry("F16", [3], 0, 4)}}`, 4), '"a"', "6 (F16", "(3)", "found 4");
  await refuse(bytesOf(`{"a":${entry("F16", [2], 4, 0)}}`, 4), '"a"', "4 (F16", "found -4");
  const huge = 2 ** 52;
  for (const shape of [[huge, huge], [huge, 4, 0], Array(2000).fill(2)]) {
    await refuse(bytesOf(`{"a":${entry("U8", shape, 0, 0)}}`), '"a"', "below 2^53");
  }
  await refuse(bytesOf(`{"a":${entry("U8", [2 ** 53], 0, 0)}}`), '"a", "shape"', "2^53 - 1");
  await refuse(bytesOf(`{"a":${entry("U8", [1], 0, 2 ** 53)}}`), '"data_offsets"', "2^53 - 1");
  await refuse(bytesOf(`{"a":${entry("F4", [3], 0, 1)}}`, 1), '"a"', "a whole number of bytes");
});

Deno.test("safetensors: a message stays one short printable sentence", async () => {
  const name = "\\u001b[31m" + "x".repeat(1_000_000) + "\\u202e";
  const error = await read(bytesOf(`{"${name}":1}`)).catch((caught) => caught);
  assert(error instanceof CheckpointError);
  assert(error.message.length < 500, `${error.message.length} characters`);
  assert.doesNotMatch(error.message, /[\p{Cc}\p{Cf}]/u);
});

/** Passes or is refused with a CheckpointError; anything else fails the test. */
async function isAnswered(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  try {
    await read(bytes);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
  }
}

Deno.test("safetensors: random bytes never give another error", async () => {
  const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => new Uint8Array(bytes));
  await fc.assert(fc.asyncProperty(noise, (bytes) => isAnswered(bytes)), { numRuns: 300 });
  await fc.assert(
    fc.asyncProperty(noise, (header) => isAnswered(bytesOf(header, 3))),
    { numRuns: 300 },
  );
  await fc.assert(
    fc.asyncProperty(fc.json({ maxDepth: 4 }), (json) => isAnswered(bytesOf(`{"a":${json}}`, 2))),
    { numRuns: 300 },
  );
});

Deno.test("safetensors: one changed byte of a good file never gives another error", async () => {
  const good = bytesOf(
    `{"a":${entry("F16", [2], 0, 4)},"b":${entry("I32", [1, 1], 4, 8)},"__metadata__":{"c":"d"}}`,
    8,
  );
  assert.equal((await read(good)).size, 2);
  const change = fc.record({ at: fc.nat({ max: good.length - 1 }), byte: fc.nat({ max: 255 }) });
  await fc.assert(
    fc.asyncProperty(change, async ({ at, byte }) => {
      const bytes = good.slice();
      bytes[at] = byte;
      await isAnswered(bytes);
    }),
    { numRuns: 500 },
  );
});
