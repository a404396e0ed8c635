/** The same dialogue in other formats, there and back. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  buildPrompt,
  convertDialogue,
  type Dialogue,
  parsePrompt,
  PromptError,
} from "../../../model/prompt.ts";
import { plainName, plainText } from "./hostile.ts";

const NAMED = "[Camille:] Bonjour !\n[Dominique:] Oui ?\n[Camille:] Rien.\n[Dominique:]";

Deno.test("every format of one dialogue", () => {
  const written = (format: Dialogue["format"]) =>
    buildPrompt(convertDialogue(parsePrompt(NAMED), format)).prompt;
  assert.equal(written("named"), NAMED);
  assert.equal(
    written("intervenant"),
    "[Intervenant 1:] Bonjour !\n[Intervenant 2:] Oui ?\n[Intervenant 1:] Rien.\n[Intervenant 2:]",
  );
  assert.equal(written("dash"), "- Bonjour !\n- Oui ?\n- Rien.\n-");
  assert.throws(() => written("monologue"), PromptError);
  const alone = convertDialogue(parsePrompt("[Camille:] Bonsoir."), "monologue");
  assert.equal(buildPrompt(alone).prompt, "Bonsoir.");
});

Deno.test("names come back after any way through formats without them", () => {
  const dialogue = fc.uniqueArray(plainName, { minLength: 2, maxLength: 2 }).chain((two) =>
    fc.array(plainText, { minLength: 1, maxLength: 5 }).map((texts): Dialogue => ({
      format: "named",
      turns: texts.map((text, i) => ({ speaker: two[i % 2]!, text })),
      next: two[texts.length % 2]!,
    }))
  );
  const way = fc.array(fc.constantFrom("dash" as const, "intervenant" as const), { maxLength: 4 });
  fc.assert(
    fc.property(dialogue, way, (original, formats) => {
      const away = formats.reduce<Dialogue>(convertDialogue, original);
      const { turns, next, format } = convertDialogue(away, "named");
      assert.deepEqual({ turns, next, format }, original);
    }),
  );
});

Deno.test("three speakers have no dashes; one speaker's turns in a row are joined for them", () => {
  const turns = ["A", "A", "B"].map((speaker, i) => ({ speaker, text: `${i}.` }));
  const dashes = convertDialogue({ format: "named", turns }, "dash");
  assert.deepEqual(dashes.turns, [
    { speaker: "Intervenant 1", text: "0. 1." },
    { speaker: "Intervenant 2", text: "2." },
  ]);
  const more = [...turns, { speaker: "C", text: "x" }];
  assert.throws(() => convertDialogue({ format: "named", turns: more }, "dash"), PromptError);
});

Deno.test("who never had a name stays a number", () => {
  const { turns, names } = convertDialogue(parsePrompt("- a\n- b"), "named");
  assert.deepEqual(turns.map(({ speaker }) => speaker), ["Intervenant 1", "Intervenant 2"]);
  assert.equal(names.get("Intervenant 1"), "Intervenant 1");
});
