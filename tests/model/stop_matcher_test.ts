import assert from "node:assert/strict";
import fc from "fast-check";
import { type StopMatch, StopMatcher } from "../../model/stop_matcher.ts";

/** The definition, on the whole text: first to end wins, then the longest. */
function expected(text: string, stops: readonly string[], keep: boolean) {
  let best: StopMatch | undefined;
  const end = (match: StopMatch) => match.index + match.stop.length;
  for (const stop of stops.filter((stop) => stop !== "")) {
    const match = { stop, index: text.indexOf(stop) };
    if (match.index < 0) continue;
    if (!best || end(match) < end(best) || (end(match) === end(best) && match.index < best.index)) {
      best = match;
    }
  }
  return { text: best ? text.slice(0, keep ? end(best) : best.index) : text, stopped: best };
}

function feed(pieces: readonly string[], stops: readonly string[], keep: boolean) {
  const matcher = new StopMatcher(stops, { keep });
  let text = "";
  let stopped: StopMatch | undefined;
  for (const piece of pieces) {
    const step = matcher.push(piece);
    text += step.text;
    stopped = step.stopped;
  }
  return { text: text + matcher.flush(), stopped };
}

/** Few letters, so that stop strings overlap themselves and each other. */
const letters = (options: fc.StringConstraints) =>
  fc.string({ ...options, unit: fc.constantFrom("a", "b", "\n", "é", "😀") });

Deno.test("a stop string is found whatever the pieces are", () => {
  fc.assert(
    fc.property(
      fc.array(letters({ maxLength: 6 }), { maxLength: 12 }),
      fc.array(letters({ maxLength: 5 }), { maxLength: 4 }),
      fc.boolean(),
      (pieces, stops, keep) => {
        assert.deepEqual(feed(pieces, stops, keep), expected(pieces.join(""), stops, keep));
      },
    ),
    { numRuns: 3000 },
  );
});

Deno.test("no more text is held back than may still become a stop string", () => {
  fc.assert(
    fc.property(
      fc.array(letters({ maxLength: 4 }), { maxLength: 12 }),
      fc.array(letters({ minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 3 }),
      (pieces, stops) => {
        const matcher = new StopMatcher(stops, { keep: false });
        let seen = "";
        let shown = "";
        for (const piece of pieces) {
          const step = matcher.push(piece);
          if (step.stopped) return;
          seen += piece;
          shown += step.text;
          const prefixes = stops.flatMap((stop) =>
            Array.from({ length: stop.length }, (_, n) => stop.slice(0, n))
          );
          const partial = prefixes.filter((prefix) => seen.endsWith(prefix));
          const held = Math.max(...partial.map((prefix) => prefix.length));
          assert.equal(shown, seen.slice(0, seen.length - held));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

Deno.test("a turn's end across pieces, cut off or kept", () => {
  const pieces = ["Oui.", "\n[Inter", "venant 1", ":] Bien"];
  const stops = ["\n[Intervenant 1:]"];
  const stopped = { stop: "\n[Intervenant 1:]", index: 4 };
  assert.deepEqual(feed(pieces, stops, false), { text: "Oui.", stopped });
  assert.deepEqual(feed(pieces, stops, true), { text: "Oui.\n[Intervenant 1:]", stopped });
});

Deno.test("stop strings are literals", () => {
  assert.equal(feed(["abc"], ["a.c", ".*", "[a-c]"], false).stopped, undefined);
  assert.equal(feed(["x[a-c]"], ["[a-c]"], false).text, "x");
});

Deno.test("without stop strings, and with only empty ones, text passes as it is", () => {
  for (const stops of [[], [""], ["", ""]]) {
    const matcher = new StopMatcher(stops, { keep: false });
    assert.deepEqual(matcher.push("abc"), { text: "abc" });
    assert.equal(matcher.flush(), "");
  }
});

Deno.test("what is kept is not held back", () => {
  const matcher = new StopMatcher(["abc"], { keep: true });
  assert.equal(matcher.push("ab").text, "ab");
  assert.equal(matcher.push("cd").text, "c");
});

Deno.test("nothing follows a match", () => {
  const matcher = new StopMatcher(["b"], { keep: false });
  assert.deepEqual(matcher.push("ab"), { text: "a", stopped: { stop: "b", index: 1 } });
  assert.deepEqual(matcher.push("ab"), { text: "", stopped: { stop: "b", index: 1 } });
  assert.equal(matcher.flush(), "");
});

Deno.test("half a surrogate pair does not match half of a character", () => {
  assert.equal(feed(["😀"], ["\ude00"], false).stopped, undefined);
  assert.equal(feed(["a\ufffd"], ["\ude00"], false).stopped?.index, 1);
});
