/** Turns out of text, literally and as the inverse of writing them. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { buildPrompt, parsePrompt } from "../../../model/prompt.ts";
import { anyText, casting, plainName, plainText } from "./hostile.ts";

const [ONE, TWO] = ["Intervenant 1", "Intervenant 2"];

Deno.test("each format is told by its first line", () => {
  assert.deepEqual(parsePrompt("- Bonjour !\n- Bonjour Camille,"), {
    format: "dash",
    speakers: [ONE, TWO],
    turns: [{ speaker: ONE, text: "Bonjour !" }, { speaker: TWO, text: "Bonjour Camille," }],
    next: null,
  });
  assert.deepEqual(parsePrompt("[Intervenant 1:] Bonjour !\n[Intervenant 2:]"), {
    format: "intervenant",
    speakers: [ONE, TWO],
    turns: [{ speaker: ONE, text: "Bonjour !" }],
    next: TWO,
  });
  assert.deepEqual(parsePrompt("[Mme Camille Durand:] Bonjour !\n[Intervenant 2:] Oui"), {
    format: "named",
    speakers: ["Mme Camille Durand", TWO],
    turns: [{ speaker: "Mme Camille Durand", text: "Bonjour !" }, { speaker: TWO, text: "Oui" }],
    next: null,
  });
  assert.deepEqual(parsePrompt("Mesdames, [rire] bonsoir.\nJe cite - rarement"), {
    format: "monologue",
    speakers: [ONE],
    turns: [
      { speaker: ONE, text: "Mesdames, [rire] bonsoir." },
      { speaker: ONE, text: "Je cite - rarement" },
    ],
    next: null,
  });
});

Deno.test("only numbers as they are written make the intervenant format", () => {
  const formatOf = (name: string) => parsePrompt(`[Intervenant 1:] x\n[${name}:] y`).format;
  assert.equal(formatOf("Intervenant 12"), "intervenant");
  for (const name of ["Intervenant 01", "intervenant 2", "Intervenant NaN", "speaker002", "2"]) {
    assert.equal(formatOf(name), "named");
  }
});

Deno.test("blank lines, line ends of Windows and blanks around marks are no part of a dialogue", () => {
  const { turns, next } = parsePrompt("\n\n -  Bonjour \r\n\r\n-Oui\r\n-\r\n");
  assert.deepEqual(turns, [{ speaker: ONE, text: "Bonjour" }, { speaker: TWO, text: "Oui" }]);
  assert.equal(next, ONE);
  assert.deepEqual(parsePrompt(" \n "), {
    format: "monologue",
    speakers: [],
    turns: [],
    next: null,
  });
});

Deno.test("a tag opens a turn wherever it stands; a remark does not", () => {
  // From the training text's own tests.
  const { turns, format } = parsePrompt(
    "[Alison Jordy:] Tu me fais rire [LAUGHTER]. [claude-marie  JR Michel :] Un bruit [:] [ :]",
  );
  assert.equal(format, "named");
  assert.deepEqual(turns, [
    { speaker: "Alison Jordy", text: "Tu me fais rire [LAUGHTER]." },
    { speaker: "claude-marie JR Michel", text: "Un bruit [:] [ :]" },
  ]);
});

Deno.test("a line without a mark is another turn of the same speaker", () => {
  const speakers = (text: string) => parsePrompt(text).turns.map(({ speaker }) => speaker);
  assert.deepEqual(speakers("[A:] x\ny\n[B:]\nz"), ["A", "A", "B"]);
  assert.deepEqual(speakers("- x\n-5 degrés\n- y\n-\n- z"), [ONE, ONE, TWO, TWO]);
});

Deno.test("parsing a prompt gives back what it was built of", () => {
  const dialogue = casting(plainName).chain(({ speakers, ...cast }) =>
    fc.record({
      cast: fc.constant(cast),
      turns: fc.tuple(...speakers.map((speaker) => plainText.map((text) => ({ speaker, text })))),
      open: fc.boolean(),
    })
  );
  fc.assert(
    fc.property(dialogue, ({ cast: { format, next }, turns, open }) => {
      const built = buildPrompt({ turns, format, next: open ? next : null });
      const parsed = parsePrompt(built.prompt);
      assert.equal(parsed.format, format);
      const back = (label: string) =>
        format === "named" || format === "intervenant" ? built.names.get(label)! : label;
      const two = [...new Set(turns.map(({ speaker }) => speaker)), next];
      const called = (speaker: string) =>
        format === "named" || format === "intervenant"
          ? speaker
          : `Intervenant ${two.indexOf(speaker) + 1}`;
      assert.deepEqual(
        parsed.turns.map(({ speaker, text }) => ({ speaker: back(speaker), text })),
        turns.map(({ speaker, text }) => ({ speaker: called(speaker), text })),
      );
      const opened = open && format !== "monologue";
      assert.equal(parsed.next && back(parsed.next), opened ? called(next) : null);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("building what was parsed gives back the text", () => {
  const line = casting(plainName).chain(({ format, speakers, next }) => {
    const marks = { monologue: () => "", dash: () => "- ", named: tag, intervenant: tag };
    function tag(name: string) {
      return `[${name}:] `;
    }
    const mark = marks[format];
    return fc.tuple(
      fc.tuple(...speakers.map((name) => plainText.map((text) => mark(name) + text))),
      fc.boolean(),
    ).map(([lines, open]) =>
      [...lines, ...(open && format !== "monologue" ? [mark(next).trim()] : [])].join("\n")
    );
  });
  fc.assert(
    fc.property(line, (text) => assert.equal(buildPrompt(parsePrompt(text)).prompt, text)),
    { numRuns: 3000 },
  );
});

Deno.test("any text can be parsed, and what is parsed can be built", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const parsed = parsePrompt(text);
      assert.ok(parsed.turns.every(({ text }) => text.trim() === text && text !== ""));
      // Speakers that take two turns in a row have no place in dashes, remarks none anywhere.
      if (parsed.format === "dash") return;
      const { turns } = parsePrompt(buildPrompt(parsed).prompt);
      assert.deepEqual(
        turns.map(({ speaker }) => speaker),
        parsed.turns.map(({ speaker }) => speaker),
      );
    }),
    { numRuns: 3000 },
  );
});
