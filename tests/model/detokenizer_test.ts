import assert from "node:assert/strict";
import fc from "fast-check";
import { BYTE_CHARACTERS, ByteTable, Detokenizer } from "../../model/detokenizer.ts";

/** Ids 0 to 255 are the bytes, 256 is "<end>" as plain text, 257 is "é…" as plain text. */
const TABLE = new ByteTable([...BYTE_CHARACTERS, "<end>", "é…"], new Set([256, 257]));

Deno.test("bytes are spelt as GPT-2 spells them", () => {
  const spelling = (bytes: number[]) => bytes.map((byte) => BYTE_CHARACTERS[byte]).join("");
  assert.equal(spelling([0x00, 0x0a, 0x0d, 0x20, 0x7f, 0xa0, 0xad]), "ĀĊčĠġłŃ");
  assert.equal(spelling([0x21, 0x7e, 0xa1, 0xac, 0xae, 0xff]), "!~¡¬®ÿ");
  assert.equal(spelling([...new TextEncoder().encode(" démocr")]), "ĠdÃ©mocr");
  assert.equal(new Set(BYTE_CHARACTERS).size, 256);
});

Deno.test("added tokens and spellings outside the byte map are plain UTF-8", () => {
  const table = new ByteTable(["Ġé", "Ġ é", "Ã©", "Ã©"], new Set([3]));
  const text = (id: number) => new TextDecoder().decode(table.of(id));
  // The first is bytes, and E9 alone is no character; the second has a real space in it.
  assert.deepEqual([0, 1, 2, 3].map(text), [" \ufffd", "Ġ é", "é", "Ã©"]);
});

Deno.test("an id without a token has no bytes", () => {
  const pieces: string[] = [];
  pieces[2] = "a";
  const table = new ByteTable(pieces, new Set());
  assert.deepEqual([0, 1, 2, 3, -1, 1e9].map((id) => table.of(id).length), [0, 0, 1, 0, 0, 0]);
});

Deno.test("a character appears with its last byte", () => {
  const detokenizer = new Detokenizer(TABLE);
  const shown = [...new TextEncoder().encode("né 🥖!")].map((byte) => detokenizer.push(byte));
  assert.deepEqual(shown, ["n", "", "é", " ", "", "", "", "🥖", "!"]);
  assert.equal(detokenizer.flush(), "");
});

Deno.test("a byte-order mark is text", () => {
  const detokenizer = new Detokenizer(TABLE);
  const shown = [0xef, 0xbb, 0xbf, 0x61].map((byte) => detokenizer.push(byte)).join("");
  assert.equal(shown, "\ufeffa");
});

Deno.test("an answer that ends inside a character ends in U+FFFD", () => {
  const detokenizer = new Detokenizer(TABLE);
  assert.equal(detokenizer.push(0xc3), "");
  assert.equal(detokenizer.flush(), "\ufffd");
});

Deno.test("skipped tokens give nothing, even inside a character", () => {
  const detokenizer = new Detokenizer(TABLE, new Set([256]));
  assert.deepEqual([0xc3, 256, 0xa9, 257].map((id) => detokenizer.push(id)), ["", "", "é", "é…"]);
});

Deno.test("any ids, put together, decode as they do at once", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 257 })), (ids) => {
      const detokenizer = new Detokenizer(TABLE);
      const bytes = ids.flatMap((id) => id < 256 ? [id] : [...TABLE.of(id)]);
      const whole = new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(bytes));
      assert.equal(ids.map((id) => detokenizer.push(id)).join("") + detokenizer.flush(), whole);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("text split into bytes is never shown with half a character", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const detokenizer = new Detokenizer(TABLE);
      const shown = [...new TextEncoder().encode(text)].map((byte) => detokenizer.push(byte));
      assert.equal(shown.join(""), text);
      const characters = [...text];
      assert.deepEqual(shown.filter((piece) => piece !== ""), characters);
    }),
    { numRuns: 1000 },
  );
});
