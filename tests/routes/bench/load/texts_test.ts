/** Texts of a given length in tokens, against tokenizers that were made up. */
import assert from "node:assert/strict";
import { FEW, Texts } from "../../../../routes/bench/load/texts.ts";
import { words } from "../../../../routes/bench/load/words.ts";

/** Each costs its letters: no two words of one length in words have the same number of tokens. */
const byLetters = (text: string) => 9 + text.length;
/** Common words are cheap, so that a straight line through two counts is wrong elsewhere. */
const byRarity = (text: string) => {
  const all = text.match(/\p{L}+/gu)!;
  return 40 + all.reduce((sum, word, i) => sum + (i < 200 ? 1 : word.length > 5 ? 3 : 2), 0);
};

for (const [name, count] of Object.entries({ byLetters, byRarity })) {
  Deno.test(`texts: within 1 % of what is asked for, counted once a length (${name})`, async () => {
    let counted = 0;
    const texts = await Texts.measure((text) => {
      counted++;
      return Promise.resolve(count(text));
    }, count(words(FEW)));
    for (const tokens of [1500, 2000, 100_000]) {
      const text = await texts.of(tokens);
      const before = counted;
      for (let i = 0; i < 3; i++) {
        assert(Math.abs(count(text()) - tokens) <= 0.01 * tokens, `${count(text())} of ${tokens}`);
      }
      await texts.of(tokens);
      assert.equal(counted, before);
      assert.notEqual(text().slice(0, 60), text().slice(0, 60));
    }
  });
}

Deno.test("texts: where nobody counts, or the count means nothing, words are guessed", async () => {
  for (const count of [undefined, 7]) {
    const texts = await Texts.measure(() => Promise.resolve(count), count);
    // And a dash.
    assert.equal((await texts.of(1600))().split(" ").length, 1001);
    assert.equal(texts.more(16).split(" ").length, 11);
  }
});
