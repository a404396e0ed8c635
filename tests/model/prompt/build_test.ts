/** Prompts against the texts of the model cards, and against texts that want to be more than text. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { buildPrompt, FORMATS, parsePrompt, PromptError } from "../../../model/prompt.ts";
import { tokenizer } from "../../routes/helpers.ts";
import { anyName, anyText, casting } from "./hostile.ts";

const QUESTION = "Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?";
const START = "Bonjour Camille,";

Deno.test("the model card's four examples, to the byte", () => {
  assert.equal(
    buildPrompt({ turns: [{ text: QUESTION }], format: "dash", start: START }).prompt,
    "- Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?\n- Bonjour Camille,",
  );
  assert.equal(
    buildPrompt({ turns: [{ text: QUESTION }], format: "intervenant", start: START }).prompt,
    "[Intervenant 1:] Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?\n" +
      "[Intervenant 2:] Bonjour Camille,",
  );
  assert.equal(
    buildPrompt({
      turns: [{ speaker: "Mme Camille Durand", text: QUESTION }],
      format: "named",
      next: "Mr. Dominique Petit",
      start: START,
    }).prompt,
    "[Mme Camille Durand:] Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?\n" +
      "[Mr. Dominique Petit:] Bonjour Camille,",
  );
  const monologue = "Mesdames et messieurs les députés, chers collègues, bonsoir. Vous l'aurez " +
    "peut-être remarqué, je cite rarement";
  assert.equal(buildPrompt({ turns: [{ text: monologue }] }).prompt, monologue);
});

Deno.test("the template of the GPTQ files' card", () => {
  const { prompt } = buildPrompt({
    turns: [{ text: "Bonjour BotName, raconte-moi une histoire." }],
    format: "dash",
    start: "Bonjour UserName,",
  });
  assert.equal(prompt, "- Bonjour BotName, raconte-moi une histoire.\n- Bonjour UserName,");
});

Deno.test("without a beginning, the prompt ends in the mark of who answers", () => {
  const turns = [{ speaker: "Camille", text: "Oui ?" }];
  const ends = (format: typeof FORMATS[number], next?: string) =>
    buildPrompt({ turns, format, next }).prompt;
  assert.equal(ends("dash"), "- Oui ?\n-");
  assert.equal(ends("intervenant"), "[Intervenant 1:] Oui ?\n[Intervenant 2:]");
  assert.equal(ends("named", "Dominique"), "[Camille:] Oui ?\n[Dominique:]");
  assert.equal(ends("monologue"), "Oui ?");
});

Deno.test("a complete dialogue opens no turn", () => {
  const turns = [{ speaker: "A", text: "x" }, { speaker: "B", text: "y" }];
  assert.equal(buildPrompt({ turns, next: null }).prompt, "[A:] x\n[B:] y");
});

Deno.test("a monologue goes on in its last line", () => {
  const turns = [{ text: "Bonsoir." }, { text: "Je cite" }];
  assert.equal(
    buildPrompt({ turns, format: "monologue", start: "rarement" }).prompt,
    "Bonsoir.\nJe cite rarement",
  );
});

Deno.test("dashes cannot show two turns of one speaker in a row, so they are one", () => {
  const turns = [
    { speaker: "A", text: "Un." },
    { speaker: "A", text: "- Deux." },
    { speaker: "B", text: "Trois." },
  ];
  assert.equal(
    buildPrompt({ turns, format: "dash", next: "A" }).prompt,
    "- Un. Deux.\n- Trois.\n-",
  );
});

Deno.test("what ends a turn, by format", () => {
  const turns = [{ speaker: "A", text: "x" }];
  const stops = FORMATS.map((format) =>
    buildPrompt({ turns, format, next: format === "monologue" ? "A" : "B" }).stop
  );
  assert.deepEqual(stops, [["\n"], ["\n"], ["\n", "["], ["\n", "["]]);
});

Deno.test("whatever turns say, who speaks how often stays the same, and nothing is cut", () => {
  const cases = casting(anyName).chain((cast) =>
    fc.tuple(
      fc.constant(cast),
      fc.array(anyText, { minLength: cast.speakers.length, maxLength: cast.speakers.length }),
      anyText,
    )
  );
  fc.assert(
    fc.property(cases, ([{ format, speakers, next }, texts, start]) => {
      const said = (text: (i: number) => string, start: string) =>
        buildPrompt({
          turns: speakers.map((speaker, i) => ({ speaker, text: text(i) })),
          format,
          next,
          start,
        });
      const built = said((i) => texts[i]!, start);
      const { prompt } = built;
      const expected = parsePrompt(said(() => "oui", built.start && "non").prompt);
      const found = parsePrompt(prompt);
      assert.deepEqual(
        { ...found, turns: found.turns.map(({ speaker }) => speaker) },
        { ...expected, turns: expected.turns.map(({ speaker }) => speaker) },
      );
      // A reader that knows no format: lines as Python's splitlines() sees them, and brackets.
      // deno-lint-ignore no-control-regex
      const lines = prompt.split(/\r\n|[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]/);
      const opened = format === "monologue" ? 0 : 1;
      assert.equal(lines.length, speakers.length + opened);
      const brackets = format === "named" || format === "intervenant" ? lines.length : 0;
      assert.equal(prompt.split("[").length - 1, brackets);
      assert.equal(prompt.split("]").length - 1, brackets);
      const dashed = lines.filter((line) => /^\s*\p{Pd}/u.test(line));
      assert.equal(dashed.length, format === "dash" ? lines.length : 0);
      assert.doesNotMatch(prompt, /\s$/);
      assert.ok(prompt.isWellFormed());
    }),
    { numRuns: 4000 },
  );
});

Deno.test("special tokens in a turn or a name stay text", () => {
  const hostile = fc.constantFrom("<|endoftext|>", ">>QUESTION<<", ">>ANSWER<<", ">>TITLE<<", "a");
  fc.assert(
    fc.property(fc.array(hostile).map((parts) => parts.join("")), hostile, (text, next) => {
      const { prompt } = buildPrompt({ turns: [{ speaker: "A", text }], format: "named", next });
      assert.ok(prompt.includes(text || "...") && prompt.endsWith(`[${next}:]`));
      const ids = tokenizer.encode(prompt);
      assert.ok(ids.every((id) => !tokenizer.isSpecial(id)));
      assert.equal(tokenizer.decode(ids), prompt);
    }),
  );
});

Deno.test("a turn without a word is a silence, not a missing turn", () => {
  for (const text of ["", " ", "\n\n", "-", "- —\r\n", "\x85"]) {
    const { prompt } = buildPrompt({ turns: [{ text }, { text: "Oui" }], format: "dash" });
    assert.equal(prompt, "- ...\n- Oui\n-");
  }
});

Deno.test("a minus sign stays a minus sign", () => {
  const { prompt } = buildPrompt({
    turns: [{ text: "-5 degrés" }, { text: "- Oui, -5." }],
    format: "dash",
  });
  assert.equal(prompt, "- −5 degrés\n- Oui, -5.\n-");
});

Deno.test("a dialogue that the format cannot hold is refused", () => {
  const two = [{ speaker: "A", text: "x" }, { speaker: "B", text: "y" }];
  const three = [...two, { speaker: "C", text: "z" }];
  const refusals: [Parameters<typeof buildPrompt>[0], RegExp][] = [
    [{ turns: three, format: "dash", next: "A" }, /dash format should have at most 2 .*found 3/],
    [{ turns: two, format: "monologue" }, /monologue format should have at most 1 .*found 2/],
    [{ turns: two, format: "dash", next: "B" }, /`next` should be the one who did not speak last/],
    [{ turns: three }, /`next` should be given, as there are 3 speakers/],
    [{ turns: [{ speaker: "A", text: "x" }] }, /`next` should be given: the named format/],
    [{ turns: [{ text: "x" }], format: "named", next: "B" }, /`turns.0.speaker` should be given/],
    [{ turns: [{ speaker: "x".repeat(101), text: "" }] }, /at most 100 characters, found 101/],
  ];
  for (const [input, message] of refusals) {
    assert.throws(() => buildPrompt(input), (error) => {
      assert.ok(error instanceof PromptError);
      assert.match(error.message, message);
      return true;
    });
  }
});
