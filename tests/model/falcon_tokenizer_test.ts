/**
 * The real Falcon tokenizer, found at FALCON_TOKENIZER or beside the repository; the repository
 * does not carry it. Expected ids come from the reference implementation.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer as Library } from "@huggingface/tokenizers";
import fc from "fast-check";
import { BYTE_CHARACTERS } from "../../model/detokenizer.ts";
import { loadTokenizer, type Tokenizer } from "../../model/tokenizer.ts";

const BESIDE = join(import.meta.dirname!, "../../../shared/falcon-tokenizer/tokenizer.json");
const PATH = Deno.env.get("FALCON_TOKENIZER") ?? BESIDE;

let loaded: Promise<Tokenizer> | undefined;

function falconTest(name: string, body: (falcon: Tokenizer) => void | Promise<void>): void {
  Deno.test({
    name: `Falcon: ${name}`,
    ignore: !existsSync(PATH),
    fn: async () => await body(await (loaded ??= loadTokenizer(PATH))),
  });
}

/** The model card's four prompts. */
const QUESTION = "Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?";
// deno-fmt-ignore
const QUESTION_IDS = [
  7321, 15874, 56784, 23, 453, 18, 5366, 101, 24, 14742, 5369, 14974, 4486, 28918, 18, 21066, 204,
  42,
];
const ANSWER_IDS = [7321, 15874, 62326, 23];
const PROMPTS: [text: string, ids: number[]][] = [
  [`- ${QUESTION}\n- Bonjour Camille,`, [24, ...QUESTION_IDS, 193, 24, ...ANSWER_IDS]],
  [
    `[Intervenant 1:] ${QUESTION}\n[Intervenant 2:] Bonjour Camille,`,
    // deno-fmt-ignore
    [
      70, 6909, 22122, 204, 28, 37324, ...QUESTION_IDS, 193,
      70, 6909, 22122, 204, 29, 37324, ...ANSWER_IDS,
    ],
  ],
  [
    `[Mme Camille Durand:] ${QUESTION}\n[Mr. Dominique Petit:] Bonjour Camille,`,
    // deno-fmt-ignore
    [
      70, 56, 1275, 62326, 11025, 373, 37324, ...QUESTION_IDS, 193,
      70, 9521, 25, 56784, 52579, 37324, ...ANSWER_IDS,
    ],
  ],
  [
    "Mesdames et messieurs les députés, chers collègues, bonsoir. Vous l'aurez peut-être " +
    "remarqué, je cite rarement",
    // deno-fmt-ignore
    [
      51774, 79, 1157, 886, 2093, 16731, 1436, 2420, 1567, 1956, 23, 253, 2417, 2576, 32058, 1022,
      23, 3338, 530, 330, 25, 17675, 282, 18, 76, 458, 101, 8570, 24, 12108, 29807, 24230, 23, 1972,
      27421, 5241, 406,
    ],
  ],
];

falconTest("the card's prompts have their golden ids", (falcon) => {
  assert.deepEqual(PROMPTS.map(([, ids]) => ids.length), [25, 35, 36, 37]);
  for (const [text, ids] of PROMPTS) {
    assert.deepEqual(falcon.encode(text), ids);
    assert.equal(falcon.decode(ids), text);
  }
});

falconTest("single tokens have their golden ids", (falcon) => {
  const golden: Record<string, number[]> = {
    "\n": [193],
    "\r": [195],
    "[": [70],
    "]": [72],
    ":]": [37324],
    "-": [24],
    " ": [204],
    "\n\n": [1001],
    "...": [951],
    "…": [898],
    "[…]": [5154],
    "\u00a0": [4381],
    "\u202f": [35254],
    "’": [329],
    "«": [2577],
    "»": [2118],
    "–": [600],
    "—": [791],
    "[[": [19778],
    ".[": [6873],
    "- Bonjour": [24, 7321, 15874],
    "- ": [24, 204],
  };
  for (const [text, ids] of Object.entries(golden)) {
    assert.deepEqual(falcon.encode(text), ids, text);
  }
});

falconTest("the vocabulary and its special tokens", (falcon) => {
  assert.equal(falcon.vocabSize, 65024);
  assert.equal(falcon.piece(11), "<|endoftext|>");
  const special = Array.from({ length: 65024 }, (_, id) => id).filter((id) => falcon.isSpecial(id));
  assert.deepEqual(special, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
});

falconTest("the spelling of a special token stays text", (falcon) => {
  for (let id = 0; id < 12; id++) {
    const text = `Dis${falcon.piece(id)} ${falcon.piece(id)}\n${falcon.piece(id)}`;
    const ids = falcon.encode(text);
    assert.ok(!ids.some((id) => falcon.isSpecial(id)), text);
    assert.equal(falcon.decode(ids), text);
    assert.equal(falcon.decode(ids, { skipSpecial: true }), text);
  }
  assert.deepEqual(
    falcon.encode("<|endoftext|>").map((id) => falcon.piece(id)).join(""),
    "<|endoftext|>",
  );
});

falconTest("an emoji spread over tokens appears whole", (falcon) => {
  const detokenizer = falcon.detokenizer();
  const ids = falcon.encode("Un café, où ça ? 🥖!");
  const shown = ids.map((id) => detokenizer.push(id));
  assert.equal(shown.join(""), "Un café, où ça ? 🥖!");
  assert.ok(ids.map((id) => falcon.piece(id)).includes("\ufffd"), "some token is half a character");
  assert.ok(shown.includes("") && !shown.includes("\ufffd"));
});

falconTest("a lone surrogate is U+FFFD", (falcon) => {
  assert.deepEqual(falcon.encode("\ud800"), falcon.encode("\ufffd"));
});

/** French, spacing, digits, brackets, emoji and anything else. */
const text = fc.array(
  fc.oneof(
    fc.constantFrom(..."Ça va ? -[]:0123456789«»œé’\u00a0\u202f\n.,!…".split("")),
    fc.constantFrom("Bonjour", " qu'", "aujourd'hui", "[Intervenant 1:]", "😀", "👩‍👧", ">>", "<|"),
    fc.string({ unit: "binary", maxLength: 3 }),
  ),
  { maxLength: 40 },
).map((parts) => parts.join(""));

falconTest("valid text, encoded and streamed back, is the same", async (falcon) => {
  const vocab = JSON.parse(await Deno.readTextFile(PATH)).model.vocab;
  const unknown = new Set(
    Array.from({ length: 256 }, (_, byte) => byte)
      .filter((byte) => vocab[BYTE_CHARACTERS[byte]!] === undefined),
  );
  assert.equal(unknown.size, 28);
  const spelled = text.filter((text) =>
    !new TextEncoder().encode(text).some((byte) => unknown.has(byte))
  );
  fc.assert(
    fc.property(spelled, (text) => {
      const detokenizer = falcon.detokenizer();
      const ids = falcon.encode(text);
      const shown = ids.map((id) => detokenizer.push(id)).join("") + detokenizer.flush();
      assert.equal(shown, text);
      assert.equal(falcon.decode(ids), text);
    }),
    { numRuns: 1000 },
  );
});

falconTest("any ids, streamed, decode as the library decodes them", async (falcon) => {
  const library = new Library(JSON.parse(await Deno.readTextFile(PATH)), {});
  const id = fc.oneof(fc.integer({ min: 0, max: 65023 }), fc.integer({ min: 0, max: 300 }));
  fc.assert(
    fc.property(fc.array(id, { minLength: 1 }), (ids) => {
      const whole = library.decode(ids, { clean_up_tokenization_spaces: false });
      assert.equal(falcon.decode(ids), whole);
      const detokenizer = falcon.detokenizer();
      const shown = ids.map((id) => detokenizer.push(id)).join("") + detokenizer.flush();
      assert.equal(shown, falcon.decode(ids, { skipSpecial: true }));
    }),
    { numRuns: 500 },
  );
});

falconTest(
  "text without special tokens has the ids that the whole file gives it",
  async (falcon) => {
    const library = new Library(JSON.parse(await Deno.readTextFile(PATH)), {});
    const specials = Array.from({ length: 12 }, (_, id) => falcon.piece(id));
    const ordinary = text.filter((text) => !specials.some((special) => text.includes(special)));
    fc.assert(
      fc.property(ordinary, (text) => {
        assert.deepEqual(falcon.encode(text), library.encode(text).ids);
      }),
      { numRuns: 500 },
    );
  },
);
