import assert from "node:assert/strict";
import fc from "fast-check";
import { join } from "node:path";
import { byteTokenizerJson } from "../../model/byte_tokenizer.ts";
import { tokenSpans } from "../../model/token_spans.ts";
import { loadTokenizer } from "../../model/tokenizer.ts";

/** A byte tokenizer without a token for the byte of "\u0001". */
async function tokenizer() {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "tokenizer.json");
    const json = byteTokenizerJson(300);
    // deno-lint-ignore no-explicit-any
    const { vocab } = (json as any).model;
    delete vocab["\u0101"];
    await Deno.writeTextFile(path, JSON.stringify(json));
    return await loadTokenizer(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("spans: each token lies where its bytes are, widened to whole characters", async () => {
  const known = await tokenizer();
  const utf8 = new TextEncoder();
  await fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 30 }), (text) => {
    const bytes = utf8.encode(text);
    const spans = tokenSpans(known, text);
    assert.deepEqual(spans.map(({ id }) => id), known.encode(text));
    let end = 0;
    for (const { id, text: part, start, stop } of spans) {
      assert.ok(start <= stop && stop <= bytes.length && stop >= end);
      assert.equal(
        part,
        new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
          .decode(bytes.subarray(start, stop)),
      );
      const own = known.bytes(id);
      const inside = bytes.subarray(start, stop).toHex();
      assert.ok(inside.includes(own.toHex()), `${inside} holds ${own.toHex()}`);
      end = stop;
    }
  }));
});

Deno.test("spans: what no token stands for lies between two tokens", async () => {
  const spans = tokenSpans(await tokenizer(), "a\u0001\u0001é");
  assert.deepEqual(spans.map(({ start, stop }) => [start, stop]), [[0, 1], [3, 5], [3, 5]]);
});
