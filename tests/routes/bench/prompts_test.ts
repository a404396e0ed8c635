/** Prompts, with a tokenizer of the checkpoint and with the one that the bench brings. */
import assert from "node:assert/strict";
import { Prompts } from "../../../routes/bench/prompts.ts";
import { withSynthetic } from "../../model/synthetic.ts";

for (const tokenizer of [true, false]) {
  Deno.test(`prompts: so long, and none begins like another${tokenizer ? "" : ", without a tokenizer"}`, () =>
    withSynthetic({ tokenizer }, async (dir) => {
      const { prompts, maxPositions } = await Prompts.open(dir);
      assert.equal(maxPositions, 2048);
      const starts = new Set<number>();
      for (const length of [1, 35, 400, 35, 35]) {
        const ids = prompts.ids(length);
        assert.equal(ids.length, length);
        assert(ids.every((id) => Number.isInteger(id) && id >= 0 && id < 512));
        starts.add(ids[0]!);
      }
      assert.equal(starts.size, 5);
      const texts = [35, 35, 200].map((length) => {
        const text = prompts.text(length);
        assert.equal(prompts.tokenizer.encode(text).length, length);
        return text;
      });
      assert.equal(new Set(texts.map(([first]) => first)).size, 3);
    }));
}

Deno.test("prompts: a vocabulary too small to spell bytes needs a tokenizer", () =>
  withSynthetic(
    { shape: { hiddenSize: 192, layers: 1, heads: 3, vocabSize: 200 } },
    async (dir) => {
      await assert.rejects(
        Prompts.open(dir),
        /holds no tokenizer\.json\. A byte tokenizer needs a vocabulary of at least 268, found 200\./,
      );
    },
  ));
