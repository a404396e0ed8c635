/** Names that were left out, and what speakers are called. */
import assert from "node:assert/strict";
import { buildPrompt } from "../../../model/prompt.ts";
import { castOf } from "../../../model/prompt/speakers.ts";

Deno.test("the format follows from the names", () => {
  const formatOf = (speakers: (string | undefined)[], next?: string) =>
    castOf({ speakers, next }).format;
  assert.equal(formatOf([undefined]), "monologue");
  assert.equal(formatOf([undefined, undefined]), "dash");
  assert.equal(formatOf([undefined], "Claire"), "dash");
  assert.equal(formatOf(["A", undefined]), "dash");
  assert.equal(formatOf(["Camille", "Dominique"]), "named");
  assert.equal(formatOf(["Intervenant 1", "Intervenant 2"]), "intervenant");
  assert.equal(formatOf(["speaker001"], "speaker002"), "intervenant");
  assert.equal(formatOf(["Intervenant 1", "Claire"]), "named");
});

Deno.test("where two take turns, names may be left out anywhere", () => {
  const cast = (speakers: (string | undefined)[], next?: string) => {
    const found = castOf({ speakers, next, format: "dash" });
    return [...found.speakers, found.next];
  };
  const [one, two] = ["Intervenant 1", "Intervenant 2"];
  assert.deepEqual(cast([undefined]), [one, two]);
  assert.deepEqual(cast([undefined, undefined, undefined]), [one, two, one, two]);
  assert.deepEqual(cast(["A", undefined, "B"]), ["A", "B", "A", "B"].with(2, "B").with(3, "A"));
  assert.deepEqual(cast([undefined, "A", undefined], "A"), [two, "A", two, "A"]);
  assert.deepEqual(cast([undefined, undefined], "Claire"), ["Claire", two, "Claire"]);
  assert.deepEqual(cast([" ", ""]), [one, two, one]);
  assert.deepEqual(cast(["Intervenant 2"]), [two, "Intervenant 3"]);
});

Deno.test("numbers are kept, the others are numbered by first appearance", () => {
  const labels = (...names: string[]) => {
    const turns = names.map((speaker) => ({ speaker, text: "x" }));
    const { prompt } = buildPrompt({ turns, format: "intervenant", next: null });
    return prompt.split("\n").map((line) => line.replace(":] x", "").replace("[", ""));
  };
  assert.deepEqual(labels("Camille", "Dominique", "Camille"), [
    "Intervenant 1",
    "Intervenant 2",
    "Intervenant 1",
  ]);
  assert.deepEqual(labels("Intervenant 2", "Intervenant 7"), ["Intervenant 2", "Intervenant 7"]);
  assert.deepEqual(labels("Camille", "speaker001"), ["Intervenant 2", "Intervenant 1"]);
  // Two names of one number are two speakers.
  assert.deepEqual(labels("speaker001", "Intervenant 1"), ["Intervenant 1", "Intervenant 2"]);
});

Deno.test("names are kept for the way back", () => {
  const { names, speakers, next } = buildPrompt({
    turns: [{ speaker: "Camille", text: "x" }],
    format: "intervenant",
    next: "__proto__",
  });
  assert.deepEqual([...names], [["Intervenant 1", "Camille"], ["Intervenant 2", "__proto__"]]);
  assert.deepEqual(speakers, ["Camille", "__proto__"]);
  assert.equal(next, "__proto__");
});
