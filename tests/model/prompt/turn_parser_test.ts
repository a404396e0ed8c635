/** Turns out of generated text, whatever its pieces. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  buildPrompt,
  parsePrompt,
  type TurnEvent,
  TurnParser,
  type TurnParserOptions,
} from "../../../model/prompt.ts";
import { anyText, casting, plainName, plainText } from "./hostile.ts";

type Opening = ConstructorParameters<typeof TurnParser>[0];

const NAMED: Opening = { format: "named", next: "B" };
const DASH: Opening = { format: "dash", next: "B", speakers: ["A", "B"] };

interface Reading {
  turns: { speaker: string; text: string }[];
  finished: string | undefined;
}

/** Reads the pieces; fails if events are out of order. */
function read(
  opening: Opening,
  pieces: readonly string[],
  options: TurnParserOptions = {},
  complete = false,
): Reading {
  const parser = new TurnParser(opening, options);
  const events = [...pieces.flatMap((piece) => parser.push(piece)), ...parser.flush({ complete })];
  const turns: Reading["turns"] = [];
  let speaking: string | undefined;
  for (const event of events) {
    if (event.type === "turn_start") {
      assert.equal(speaking, undefined);
      speaking = event.speaker;
      turns.push({ speaker: speaking, text: "" });
      continue;
    }
    assert.equal(event.speaker, speaking);
    if (event.type === "text") {
      assert.notEqual(event.delta, "");
      assert.ok(event.delta.isWellFormed());
      turns.at(-1)!.text += event.delta;
    } else speaking = undefined;
  }
  assert.equal(speaking, undefined);
  return { turns, finished: parser.finished };
}

Deno.test("the answer's turn ends at a line break, and at a bracket where there are tags", () => {
  assert.deepEqual(read(NAMED, [" Bon", "jour. ", "\nOui"]), {
    turns: [{ speaker: "B", text: "Bonjour." }],
    finished: "turn",
  });
  assert.deepEqual(read(NAMED, [" Oui [A:] Non"]), {
    turns: [{ speaker: "B", text: "Oui" }],
    finished: "turn",
  });
  assert.deepEqual(read(DASH, [" Oui [rire] non"]), {
    turns: [{ speaker: "B", text: "Oui [rire] non" }],
    finished: undefined,
  });
});

Deno.test("line breaks before the first word end nothing", () => {
  assert.deepEqual(read(NAMED, ["\n", " \n Oui\n"]).turns, [{ speaker: "B", text: "Oui" }]);
  assert.deepEqual(read(DASH, ["\n-", " Oui -\n"]).turns, [{ speaker: "B", text: "Oui -" }]);
  assert.deepEqual(read(DASH, ["-5 degrés\n"]).turns, [{ speaker: "B", text: "-5 degrés" }]);
});

Deno.test("an answer may stay empty", () => {
  assert.deepEqual(read(NAMED, []), { turns: [{ speaker: "B", text: "" }], finished: undefined });
  assert.deepEqual(read(NAMED, ["[A:] x"]), {
    turns: [{ speaker: "B", text: "" }],
    finished: "turn",
  });
});

Deno.test("the beginning that was given is part of the answer", () => {
  assert.deepEqual(read({ ...NAMED, start: "Bonjour Camille," }, [" je", " cuisine.\n"]).turns, [
    { speaker: "B", text: "Bonjour Camille, je cuisine." },
  ]);
  assert.deepEqual(read({ ...NAMED, start: "Oui." }, ["\n"]).turns, [
    { speaker: "B", text: "Oui." },
  ]);
});

Deno.test("a monologue goes on where it stopped, blank included", () => {
  const monologue: Opening = { format: "monologue", next: "A" };
  assert.deepEqual(read(monologue, [" rarement", " [sic] \n"]).turns, [
    { speaker: "A", text: " rarement [sic]" },
  ]);
});

Deno.test("several turns, by tags and by dashes", () => {
  const turns = [
    { speaker: "B", text: "Un." },
    { speaker: "A", text: "Deux." },
    { speaker: "Zoé", text: "Trois." },
  ];
  const tagged = [" Un.\n[", "A", ":", "]", " Deux.[Zoé:] Trois.\n[A:] x"];
  assert.deepEqual(read(NAMED, tagged, { maxTurns: 3 }), { turns, finished: "turns" });
  const dashed = read(DASH, [" Un.\n", "-", " Deux.\n-", "\n- Trois.\n"], { maxTurns: 3 });
  assert.deepEqual(dashed.turns.map(({ speaker }) => speaker), ["B", "A", "A"]);
  assert.equal(dashed.finished, "turns");
});

Deno.test("speakers get the names they had", () => {
  const built = buildPrompt({
    turns: [{ speaker: "Camille", text: "x" }],
    format: "intervenant",
    next: "Dominique",
  });
  const text = " Un.\n[Intervenant 1:] Deux.\n[Intervenant 3:] Trois.";
  assert.deepEqual(read(built, [text], { maxTurns: 9 }).turns.map(({ speaker }) => speaker), [
    "Dominique",
    "Camille",
    "Intervenant 3",
  ]);
});

Deno.test("it stops when a speaker would speak next", () => {
  const tagged = [" Un.\n[C:] Deux.\n[A:]", " Trois."];
  assert.deepEqual(read(NAMED, tagged, { until: "A" }), {
    turns: [{ speaker: "B", text: "Un." }, { speaker: "C", text: "Deux." }],
    finished: "until",
  });
  // With dashes it is known as soon as the turn has ended.
  assert.equal(read(DASH, [" Un.\n"], { until: "A" }).finished, "until");
  assert.equal(read(DASH, [" Un.\n- Deux.\n"], { until: "B" }).finished, "until");
  assert.equal(read(NAMED, tagged, { until: "A", maxTurns: 1 }).finished, "turn");
  assert.equal(read(NAMED, tagged, { until: "nobody" }).finished, undefined);
});

Deno.test("never half a tag, and no turn without a word", () => {
  for (const end of ["[", "[Inter", "[A:", "[A:]", "[A:] ", "[A:]\n[C", "\n", "[[[", "[rire"]) {
    assert.deepEqual(read(NAMED, [" Un.\n", end], { maxTurns: 9 }).turns, [
      { speaker: "B", text: "Un." },
    ]);
  }
  for (const end of ["-", "- ", "-\n-"]) {
    assert.deepEqual(read(DASH, [" Un.\n", end], { maxTurns: 9 }).turns, [
      { speaker: "B", text: "Un." },
    ]);
  }
});

Deno.test("nothing is shown of what may be a turn's end", () => {
  const parser = new TurnParser(NAMED, { maxTurns: 2 });
  assert.deepEqual(parser.push(" Oui  "), [
    { type: "turn_start", speaker: "B" },
    { type: "text", speaker: "B", delta: "Oui" },
  ]);
  assert.deepEqual(parser.push("\ud83d"), [{ type: "text", speaker: "B", delta: "  " }]);
  assert.deepEqual(parser.push("\ude00"), [{ type: "text", speaker: "B", delta: "😀" }]);
  assert.deepEqual(parser.push("\n[A"), [{ type: "turn_end", speaker: "B" }]);
  assert.deepEqual(parser.push(":]"), []);
  assert.deepEqual(parser.push(" x"), [
    { type: "turn_start", speaker: "A" },
    { type: "text", speaker: "A", delta: "x" },
  ]);
});

Deno.test("tidy: a sentence that broke off is left out, whole ones stay", () => {
  const tidy = (text: string, opening = NAMED) =>
    read(opening, [text], { tidy: true, maxTurns: 9 }).turns.map(({ text }) => text);
  assert.deepEqual(tidy(" Oui. Je pense que"), ["Oui."]);
  assert.deepEqual(tidy(" Ah ! Vraiment ? Je"), ["Ah ! Vraiment ?"]);
  assert.deepEqual(tidy(' Il a dit "non." Puis'), ['Il a dit "non."']);
  assert.deepEqual(tidy(" Bonjour M. Petit, il fait 3.5 degrés. Et"), [
    "Bonjour M. Petit, il fait 3.5 degrés.",
  ]);
  assert.deepEqual(tidy(" Oui. Et puis non."), ["Oui. Et puis non."]);
  // Nothing else was said.
  assert.deepEqual(tidy(" Je pense que"), ["Je pense que"]);
  // A later turn with no whole sentence is none.
  assert.deepEqual(tidy(" Je pense que\n[A:] Tu crois"), ["Je pense que"]);
  assert.deepEqual(tidy(" Je pense\n[A:] Tu crois ? Moi"), ["Je pense", "Tu crois ?"]);
  assert.deepEqual(tidy(" je", { ...NAMED, start: "Oui." }), ["Oui."]);
  assert.deepEqual(tidy(" je", { ...NAMED, start: "Oui, mais" }), ["Oui, mais je"]);
});

Deno.test("tidy: what the model ended is complete", () => {
  const { turns } = read(NAMED, [" Oui. Je pense que"], { tidy: true }, true);
  assert.deepEqual(turns, [{ speaker: "B", text: "Oui. Je pense que" }]);
});

Deno.test("tidy, switched on late, takes nothing back", () => {
  const parser = new TurnParser(NAMED);
  const events = [...parser.push(" Oui. Je pense"), ...((parser.tidy = true), parser.push(" que"))];
  const texts = (events: TurnEvent[]) =>
    events.flatMap((event) => event.type === "text" ? [event.delta] : []);
  assert.deepEqual(texts(events), ["Oui. Je pense"]);
  assert.deepEqual(texts(parser.flush()), [" que"]);
});

/** A text with the places where it is cut into pieces. */
const pieces = fc.array(anyText, { maxLength: 5 }).chain((parts) => {
  const text = parts.join("");
  return fc.array(fc.nat({ max: text.length }), { maxLength: 8 }).map((places) => {
    const ends = [0, ...places.sort((a, b) => a - b), text.length];
    return { text, pieces: ends.slice(1).map((end, i) => text.slice(ends[i], end)) };
  });
});

const settings = fc.record({
  maxTurns: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
  until: fc.option(fc.constantFrom("A", "B", "C"), { nil: undefined }),
  tidy: fc.boolean(),
});

const openings = fc.constantFrom<Opening>(
  NAMED,
  { ...NAMED, start: "Oui" },
  { format: "intervenant", next: "B", names: new Map([["Intervenant 1", "A"]]) },
  DASH,
  { ...DASH, start: "Oui." },
  { format: "monologue", next: "A" },
);

Deno.test("the events do not depend on the pieces", () => {
  fc.assert(
    fc.property(openings, pieces, settings, fc.boolean(), (opening, cut, options, complete) => {
      const whole = read(opening, [cut.text], options, complete);
      assert.deepEqual(read(opening, cut.pieces, options, complete), whole);
      assert.deepEqual(read(opening, cut.text.split(""), options, complete), whole);
      for (const { text } of whole.turns) {
        assert.ok(!text.includes("\n") && text === text.trimEnd());
        if (opening.format !== "dash" && opening.format !== "monologue") {
          assert.ok(!text.includes("["));
        }
      }
      const { maxTurns = options.until === undefined ? 1 : Infinity } = options;
      assert.ok(whole.turns.length <= Math.max(maxTurns, 1));
      assert.ok(
        whole.turns.slice(1).every(({ speaker, text }) => text !== "" && speaker !== options.until),
      );
    }),
    { numRuns: 5000 },
  );
});

Deno.test("generating the rest of a dialogue gives the turns that parsing all of it gives", () => {
  const dialogue = casting(plainName).chain((cast) =>
    fc.record({
      cast: fc.constant(cast),
      texts: fc.tuple(...cast.speakers.map(() => plainText)),
      answers: fc.array(plainText, { minLength: 1, maxLength: 4 }),
    })
  ).filter(({ cast: { format } }) => format !== "monologue");
  fc.assert(
    fc.property(dialogue, ({ cast: { format, speakers, next }, texts, answers }) => {
      const turns = speakers.map((speaker, i) => ({ speaker, text: texts[i]! }));
      const built = buildPrompt({ turns, format, next });
      // The answers are by the one who answers and the first speaker, in turn.
      const other = speakers[0]!;
      const later = answers.map((text, i) => ({ speaker: i % 2 ? other : next, text }));
      if (format === "dash" && other === next) return;
      const whole = buildPrompt({ turns: [...turns, ...later], format, next: null }).prompt;
      const generated = whole.slice(built.prompt.length);
      const read1 = read(built, [generated], { maxTurns: answers.length + 1 });
      const parsed = parsePrompt(whole).turns.slice(turns.length);
      const back = (label: string) => built.names.get(label) ?? label;
      assert.deepEqual(
        read1.turns,
        parsed.map(({ speaker, text }) => ({ speaker: back(speaker), text })),
      );
    }),
    { numRuns: 2000 },
  );
});
