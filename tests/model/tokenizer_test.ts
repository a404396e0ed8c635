/** The tokenizer on files made here; `falcon_tokenizer_test.ts` has the real one. */
import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { BYTE_VOCAB_SIZE, byteTokenizerJson } from "../../model/byte_tokenizer.ts";
import { CheckpointError } from "../../model/checkpoint/error.ts";
import { loadTokenizer, type Tokenizer } from "../../model/tokenizer.ts";

/** Loads a tokenizer from files with these contents; strings are written as they are. */
async function load(file: unknown, config?: unknown): Promise<Tokenizer> {
  const folder = await Deno.makeTempDir();
  const write = (name: string, content: unknown) =>
    Deno.writeTextFile(
      join(folder, name),
      typeof content === "string" ? content : JSON.stringify(content),
    );
  try {
    if (file !== undefined) await write("tokenizer.json", file);
    if (config !== undefined) await write("tokenizer_config.json", config);
    return await loadTokenizer(join(folder, "tokenizer.json"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A byte-level BPE with a few merges, two special tokens and an ordinary added token. */
function smallFile() {
  const pieces = ["<s>", "</s>", "a", "b", "<", "s", ">", "/", "Ġ", "ab", "Ġa", "<s", "X", "Y"];
  return {
    added_tokens: [
      { id: 0, content: "<s>", special: true },
      { id: 1, content: "</s>", special: true },
      { id: 14, content: "XY", special: false },
    ],
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: false },
    decoder: { type: "ByteLevel" },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])) as Record<string, number>,
      merges: ["a b", "Ġ a", "< s", "<s >"] as unknown[],
    },
  };
}

const bytes = await load(byteTokenizerJson(300));

Deno.test("the byte tokenizer spells any text a byte at a time", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      fc.pre(!/ [a-z]{2}/.test(text));
      const ids = bytes.encode(text);
      assert.deepEqual(ids, [...new TextEncoder().encode(text)].map((byte) => 12 + byte));
      assert.equal(bytes.decode(ids), text);
      const detokenizer = bytes.detokenizer();
      const streamed = ids.map((id) => detokenizer.push(id)).join("");
      assert.equal(streamed + detokenizer.flush(), text);
    }),
    { numRuns: 500 },
  );
});

Deno.test("the byte tokenizer has Falcon's special tokens and words up to its size", () => {
  assert.equal(bytes.vocabSize, 300);
  assert.deepEqual([0, 6, 10, 11].map((id) => bytes.piece(id)), [
    ">>TITLE<<",
    ">>QUESTION<<",
    ">>MIDDLE<<",
    "<|endoftext|>",
  ]);
  const special = Array.from({ length: 300 }, (_, id) => id).filter((id) => bytes.isSpecial(id));
  assert.deepEqual(special, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assert.equal(bytes.decode([268, 269, 299]), " ba be me");
});

Deno.test("every word of a large byte tokenizer is its own", async () => {
  const large = await load(byteTokenizerJson(65024));
  const pieces = Array.from({ length: 65024 - 268 }, (_, n) => large.piece(268 + n));
  assert.equal(new Set(pieces).size, pieces.length);
  assert.ok(pieces.every((piece) => /^ [a-z]{2,6}$/.test(piece)));
  // What such a model writes is read as what it wrote; other words are spelled.
  const ids = pieces.map((_, n) => 268 + n);
  assert.deepEqual(large.encode(pieces.join("")), ids);
  assert.deepEqual(large.encode("ba ba\n bax"), [110, 109, 268, 22, 44, 110, 109, 132]);
});

Deno.test("the byte tokenizer needs room for the bytes", () => {
  assert.equal(BYTE_VOCAB_SIZE, 268);
  assert.throws(() => byteTokenizerJson(267), /at least 268, found 267/);
});

Deno.test("decoding: nothing is cleaned up, special tokens may be skipped", () => {
  const ids = [...bytes.encode("Vrai ? Oui !"), 11, 1_000_000];
  assert.equal(bytes.decode(ids), "Vrai ? Oui !<|endoftext|>");
  assert.equal(bytes.decode(ids, { skipSpecial: true }), "Vrai ? Oui !");
  assert.equal(bytes.decode([]), "");
  assert.equal(bytes.piece(12 + 0xc3), "\ufffd");
  assert.equal(bytes.piece(1_000_000), "");
});

Deno.test("the spelling of a special token in a text stays text", async () => {
  const small = await load(smallFile());
  // "<s" and ">" although the file has a merge to "<s>".
  assert.deepEqual(small.encode("ab<s> a</s>"), [9, 11, 6, 10, 4, 7, 5, 6]);
  assert.equal(small.decode(small.encode("ab<s> a</s>")), "ab<s> a</s>");
  assert.deepEqual(small.encode("abXYa"), [9, 14, 2], "an ordinary added token is still matched");
});

Deno.test("no text at all gives a special id, and none is lost", () => {
  const fragments = [
    "<|endoftext|>",
    "<|",
    "|>",
    ">>TITLE<<",
    ">>",
    "TITLE",
    "endoftext",
    " ",
    "é",
  ];
  const text = fc.array(fc.constantFrom(...fragments)).map((parts) => parts.join(""));
  fc.assert(fc.property(text, (text) => {
    const ids = bytes.encode(text);
    assert.ok(!ids.some((id) => bytes.isSpecial(id)));
    assert.equal(bytes.decode(ids), text);
  }));
});

Deno.test("special tokens named in tokenizer_config.json count too", async () => {
  const file = smallFile();
  const config = { eos_token: { content: "ab" }, additional_special_tokens: ["XY"] };
  const small = await load(file, config);
  assert.deepEqual([0, 1, 9, 14, 2].map((id) => small.isSpecial(id)), [
    true,
    true,
    true,
    true,
    false,
  ]);
  assert.deepEqual(small.encode("abXY"), [2, 3, 12, 13]);
  assert.equal(small.decode([2, 9, 3], { skipSpecial: true }), "ab");
});

Deno.test("merges may be written as pairs", async () => {
  const file = smallFile();
  file.model.merges = [["a", "b"], ["Ġ", "a"]];
  assert.deepEqual((await load(file)).encode("ab a"), [9, 10]);
});

Deno.test("nothing is added, whatever the file's post-processor wants", async () => {
  const post_processor = {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: { "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] } },
  };
  assert.deepEqual((await load({ ...smallFile(), post_processor })).encode("ab"), [9]);
});

Deno.test("lone surrogates become U+FFFD", () => {
  assert.equal(bytes.decode(bytes.encode("a\ud800b\udc00")), "a\ufffdb\ufffd");
});

const { model, ...rest } = smallFile();
const BAD_FILES: [name: string, file: unknown, message: RegExp][] = [
  ["missing", undefined, /^The tokenizer file .*tokenizer\.json does not exist\.$/],
  ["not JSON", "{", /tokenizer\.json is not valid JSON\.$/],
  ["a list", [], /the file should be an object, found \[\]/],
  ["no model", rest, /"model" should be an object, found nothing/],
  ["another model", { ...rest, model: { ...model, type: "Unigram" } }, /"BPE", found "Unigram"/],
  ["no vocabulary", { ...rest, model: { merges: [] } }, /"model.vocab" should be .* found nothing/],
  ["no merges", { ...rest, model: { vocab: {} } }, /"model.merges" should be a list/],
  ["a bad merge", { ...rest, model: { ...model, merges: [7] } }, /list of pairs, found 7/],
  ["another decoder", { ...rest, model, decoder: { type: "Metaspace" } }, /found "Metaspace"/],
  ["a bad id", { ...rest, model: { ...model, vocab: { a: -1 } } }, /token "a" .* found -1/],
  ["a text id", { ...rest, model: { ...model, vocab: { a: "1" } } }, /token "a" .* found "1"/],
  ["an id used twice", { ...rest, model: { ...model, vocab: { a: 0 } } }, /"a" and "<s>"/],
  ["a bad added token", { ...rest, model, added_tokens: [{ id: 1 }] }, /found {"id":1}/],
  ["an unknown part", { ...rest, model, pre_tokenizer: { type: "Nonsense" } }, /Nonsense/],
];
for (const [name, file, message] of BAD_FILES) {
  Deno.test(`a tokenizer file that cannot be used is refused: ${name}`, async () => {
    await assert.rejects(load(file), (error) => {
      assert.ok(error instanceof CheckpointError);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  });
}

Deno.test("a broken tokenizer_config.json is refused, a folder is no tokenizer file", async () => {
  await assert.rejects(load(smallFile(), "{"), /tokenizer_config\.json is not valid JSON/);
  await assert.rejects(load(smallFile(), "[]"), /tokenizer_config\.json: the file should be/);
  await assert.rejects(loadTokenizer(import.meta.dirname!), /cannot be read as a file/);
});
