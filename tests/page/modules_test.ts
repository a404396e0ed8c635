/** The page's modules that need no browser: words, events, code to copy, the dialogue, what is kept. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createParser } from "eventsource-parser";
import { cleanName, find, heardAs, newDialogue, upNext } from "../../routes/page/dialogue.js";
import { formatOf, FORMATS } from "../../routes/page/formats.js";
import { typeset } from "../../routes/page/i18n.js";
import { requestOf } from "../../routes/page/request.js";
import { CONTROLS, readSeed, startSampling } from "../../routes/page/sampling.js";
import { curlOf, javascriptOf } from "../../routes/page/snippets.js";
import { readEvents } from "../../routes/page/sse.js";
import { newState, restore, save } from "../../routes/page/state.js";
import { CLAIRE } from "../../routes/dialogue_schema.ts";
import { ENGLISH } from "../../routes/page/words_en.js";
import { FRENCH } from "../../routes/page/words_fr.js";

Deno.test("both languages say the same: equal words, equal places for values", () => {
  const english: Record<string, string> = ENGLISH;
  assert.deepEqual(Object.keys(english).sort(), Object.keys(FRENCH).sort());
  const places = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([place]) => place).sort();
  for (const [word, text] of Object.entries(FRENCH)) {
    assert.notEqual(text.trim(), "", word);
    assert.deepEqual(places(english[word]!), places(text), word);
  }
});

Deno.test("every word that the page's elements name exists", () => {
  const html = Deno.readTextFileSync(new URL("../../routes/page/index.html", import.meta.url));
  const named = [...html.matchAll(/data-i18n(?:-\w+)?="(\w+)"/g)].map(([, word]) => word!);
  assert.ok(named.length > 20);
  for (const word of named) assert.ok(Object.hasOwn(FRENCH, word), word);
});

Deno.test("French is typeset with its spaces and apostrophes", () => {
  assert.equal(
    typeset("Qu'est-ce ? Oui ! 5 % : a ; b"),
    "Qu’est-ce\u202f? Oui\u202f! 5\u202f%\u00a0: a\u202f; b",
  );
});

/** The events of `text` as a well-kept library reads them. */
function readByLibrary(text: string): { event: string; data: string }[] {
  const found: { event: string; data: string }[] = [];
  const parser = createParser({
    onEvent: ({ event, data }) => found.push({ event: event ?? "message", data }),
  });
  parser.feed(text);
  return found;
}

Deno.test("events are read as a library reads them, wherever the bytes are split", async () => {
  const line = fc.oneof(
    fc.constantFrom("", "", ":", ": ping", "event: text", "event:done", "id: 3", "data", "data:"),
    fc.string({ unit: "grapheme", maxLength: 8 })
      .map((text) => `data: ${text.replace(/[\r\n\0]/g, "")}`),
  );
  const stream = fc.tuple(fc.array(line), fc.constantFrom("\n", "\r\n"), fc.array(fc.nat(40)));
  await fc.assert(fc.asyncProperty(stream, async ([lines, ending, cuts]) => {
    const text = lines.map((line) => line + ending).join("") + ending;
    const found = [];
    for await (const event of readEvents(split(text, cuts))) found.push(event);
    assert.deepEqual(found, readByLibrary(text));
  }));
});

/** The bytes of `text` in pieces of the given sizes, then the rest. */
function split(text: string, sizes: number[]): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  return ReadableStream.from(
    [...sizes, bytes.length].map((size) => bytes.subarray(at, at += size)),
  );
}

Deno.test("a shell gives curl the very body, whatever was typed", async () => {
  const texts = ['L\'ami dit : "$HOME" `id` \\ !!', "'; rm -rf / #", "é\n🌍", "''"];
  for (const text of texts) {
    const command = curlOf("http://h/v1/dialogues?a='b'", { turns: [{ text }] }, true);
    const { stdout } = await new Deno.Command("sh", {
      args: ["-c", `curl() { printf '%s\\0' "$@"; }\nCLAIRON_KEY=k\n${command}`],
    }).output();
    const [url, , key, , type, , body] = new TextDecoder().decode(stdout).split("\0");
    assert.equal(url, "http://h/v1/dialogues?a='b'");
    assert.equal(key, "Authorization: Bearer k");
    assert.equal(type, "Content-Type: application/json");
    assert.deepEqual(JSON.parse(body!), { turns: [{ text }] });
  }
});

Deno.test("the code to copy never holds the key", () => {
  for (const code of [curlOf, javascriptOf]) {
    assert.match(code("http://h/", {}, true), /\$CLAIRON_KEY|process\.env\.CLAIRON_KEY/);
    assert.doesNotMatch(code("http://h/", {}, false), /authorization/i);
  }
});

Deno.test("a request says who spoke and who is next, in every format", () => {
  const turns = [
    { id: 1, speaker: 0, text: "Un", model: false },
    { id: 2, speaker: 1, text: "Deux", model: true },
    { id: 3, speaker: 2, text: "Trois", model: false },
  ];
  const speakers = ["Ada", "Blaise", "Carl"];
  const ask = (format: "dash" | "named" | "monologue", change = {}) => {
    const { turns: said, next } = requestOf({ ...newState(), format, speakers, turns, ...change });
    return [...said.map(({ speaker }) => speaker), next];
  };
  assert.deepEqual(ask("named"), ["Ada", "Blaise", "Carl", "Ada"]);
  assert.deepEqual(ask("dash"), ["Ada", "Blaise", "Ada", "Blaise"]);
  assert.deepEqual(ask("monologue"), ["Ada", "Ada", "Ada", "Ada"]);
  assert.deepEqual(ask("named", { next: 1 }), ["Ada", "Blaise", "Carl", "Blaise"]);
  assert.deepEqual(ask("dash", { next: 0 }), ["Ada", "Blaise", "Ada", "Blaise"]);
  const draft = { text: " Quatre ", speaker: 1 };
  assert.deepEqual(ask("named", { draft }), ["Ada", "Blaise", "Carl", "Blaise", "Carl"]);
  assert.equal(requestOf({ ...newState(), draft }).turns[0]!.text, "Quatre");
});

Deno.test("somebody the model makes up joins the cast where there is room", () => {
  const dialogue = { ...newDialogue(), format: "named" as const };
  assert.deepEqual(find(dialogue, "Dominique"), { speaker: 1, speakers: dialogue.speakers });
  assert.deepEqual(find(dialogue, "Zoé"), {
    speaker: 2,
    speakers: ["Camille", "Dominique", "Zoé"],
  });
  assert.deepEqual(find({ ...dialogue, format: "dash" }, "Zoé").speakers, dialogue.speakers);
});

Deno.test("names hold nothing that could pass for a mark of the prompt", () => {
  assert.equal(cleanName("  [Jean:]\nPaul\t "), "Jean Paul");
  assert.equal(cleanName("[]:"), "");
  fc.assert(fc.property(fc.string({ unit: "binary" }), (name) => {
    assert.doesNotMatch(cleanName(name), /[[\]:\n\r]|^\s|\s$/);
  }));
});

Deno.test("a saved scene comes back as it was, and anything else is left aside", () => {
  const turns = [{ id: 7, speaker: 1, text: "Oui.", model: true }];
  const state = { ...newState(), format: "named" as const, turns, count: 9, start: "Ah" };
  assert.deepEqual({ ...newState(), ...restore(save(state)) }, state);
  const junk = [
    null,
    "",
    "{",
    "[]",
    "null",
    '{"format":"dash"}',
    save({ ...state, speakers: ["a"] }),
  ];
  for (const text of junk) assert.deepEqual(restore(text), {});
  fc.assert(fc.property(fc.jsonValue(), fc.constantFrom(...Object.keys(state)), (value, name) => {
    const changed = JSON.stringify({ ...JSON.parse(save(state)), [name]: value });
    const back = { ...newState(), ...restore(changed) };
    for (const { speaker } of back.turns) {
      assert.ok(back.speakers[heardAs(back, speaker)] !== undefined);
    }
    assert.ok(upNext(back) < formatOf(back.format).voices);
    for (const { name, min, max } of CONTROLS) {
      assert.ok(back.sampling[name] >= min && back.sampling[name] <= max);
    }
    requestOf(back);
  }));
});

Deno.test("a seed is a whole number or none", () => {
  const cases = [["", null], [" 12 ", 12], ["0", 0], ["-1", null], ["1.5", null], [
    "x",
    null,
  ]] as const;
  for (const [text, seed] of cases) assert.equal(readSeed(text), seed);
  assert.equal(readSeed("9007199254740993"), null);
});

Deno.test("the controls start where the server does, within their ranges", () => {
  const start = startSampling();
  for (const { name } of CONTROLS) assert.equal(start[name], CLAIRE[name], name);
  for (const { name, min, max } of CONTROLS) assert.ok(start[name] >= min && start[name] <= max);
  assert.deepEqual(FORMATS.map(({ id }) => id).sort(), [
    "dash",
    "intervenant",
    "monologue",
    "named",
  ]);
});
