/** Characters as the training text has them, and marks of turns as they were. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { buildPrompt, normaliseText, parsePrompt } from "../../../model/prompt.ts";
import { anyText, casting, plainName, plainText } from "./hostile.ts";

Deno.test("characters", () => {
  const cases: [string, string][] = [
    ["e\u0301te\u0301", "été"],
    ["« Bonjour » ou “salut” ou „gut“", '"Bonjour" ou "salut" ou "gut"'],
    ["l’été, l‘hiver, ``deux'' ʿ", `l'été, l'hiver, "deux" '`],
    ["Oui… et puis…", "Oui... et puis..."],
    ["Non – enfin — oui ‑ là", "Non - enfin - oui - là"],
    ["ça va\u00a0? oui\u202f! bien\u2009; \u3000là", "ça va ? oui ! bien ; là"],
    ["un\r\ndeux\rtrois\u2028quatre\x85cinq", "un\ndeux\ntrois\nquatre\ncinq"],
    ["a\0b\x1bc\x7fd\x9fe\u200bf\ufeffg\xadh\u202ei", "abcdefghi"],
    ["le 1ᵉʳ, la 2ᵉ", "le 1er, la 2e"],
    ["trop  de\t blancs , ici .", "trop de blancs, ici."],
    ["\ud800 seul", "\ufffd seul"],
    ["👩\u200d🚀 et 😀", "👩\u200d🚀 et 😀"],
    ["‚oui", ",oui"],
  ];
  for (const [text, expected] of cases) assert.equal(normaliseText(text), expected);
});

Deno.test("tags", () => {
  assert.equal(
    normaliseText("[speaker001:] Oui. [spk12:]non\n[LOCUTEUR 3:] si\n[ Mme  Durand :] ah"),
    "[Intervenant 1:] Oui.\n[Intervenant 12:] non\n[Intervenant 3:] si\n[Mme Durand:] ah",
  );
});

Deno.test("as speech recognition writes", () => {
  assert.equal(
    normaliseText("[speaker001:] Tu me fais rire ! Je chante : peut-être, L’Été… ?\n[Zoé:] Ah.", {
      asr: true,
    }),
    "[Intervenant 1:] tu me fais rire je chante peut-être l'été\n[Zoé:] ah",
  );
  assert.equal(
    normaliseText("- Oui ; non.\n– D’accord !\n-", { asr: true }),
    "- oui non\n- d'accord\n-",
  );
});

Deno.test("applying it again changes nothing, and control characters are gone", () => {
  fc.assert(
    fc.property(anyText, fc.boolean(), (text, asr) => {
      const once = normaliseText(text, { asr });
      assert.equal(normaliseText(once, { asr }), once);
      assert.equal(once.normalize("NFC"), once);
      assert.doesNotMatch(once, /(?!\n)\p{Cc}|[\u2028\u2029\xa0\u202f]|\p{Cs}/u);
      // Names are left as they are.
      const said = once.replace(/\[[^\]]*:\]/g, "");
      assert.doesNotMatch(said, /[…«»“”’–—]/);
      if (!asr) return;
      assert.equal(said.toLowerCase().normalize("NFC"), said.normalize("NFC"));
      assert.doesNotMatch(said, /[;!?]/);
    }),
    { numRuns: 4000 },
  );
});

Deno.test("no rule breaks a format: who speaks how often stays the same", () => {
  const text = fc.oneof(plainText, anyText);
  const dialogue = casting(plainName).chain((cast) =>
    fc.tuple(
      fc.constant(cast),
      fc.array(text, { minLength: cast.speakers.length, maxLength: cast.speakers.length }),
    )
  );
  fc.assert(
    fc.property(dialogue, fc.boolean(), ([{ format, speakers, next }, texts], asr) => {
      const turns = speakers.map((speaker, i) => ({ speaker, text: texts[i]! }));
      const { prompt } = buildPrompt({ turns, format, next });
      const shape = (text: string) => {
        const { turns, ...rest } = parsePrompt(text);
        return { ...rest, speakers: turns.map(({ speaker }) => speaker) };
      };
      // A monologue has no marks: of a line of control characters nothing is left there.
      if (format === "monologue") return;
      assert.deepEqual(shape(normaliseText(prompt, { asr })), shape(prompt));
    }),
    { numRuns: 4000 },
  );
});
