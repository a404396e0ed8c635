import assert from "node:assert/strict";
import { progress } from "../../../model/cli/progress.ts";
import { captured } from "./captured.ts";

// Tests have no terminal, or should not draw on it.
Deno.test({
  name: "off a terminal, progress is a line for each tenth",
  ignore: Deno.stderr.isTerminal(),
  fn: async () => {
    const { stderr } = await captured(() => {
      const shown = progress("Loading", 200);
      for (const done of [0, 19, 20, 21, 90, 199, 200, 200]) shown.update(done);
      shown.end();
      return Promise.resolve(0);
    });
    assert.equal(stderr, [10, 40, 90, 100].map((tenths) => `Loading: ${tenths} %\n`).join(""));
  },
});

Deno.test({
  name: "nothing to do is done",
  ignore: Deno.stderr.isTerminal(),
  fn: async () => {
    const { stderr } = await captured(() => {
      progress("Loading", 0).update(0);
      return Promise.resolve(0);
    });
    assert.equal(stderr, "Loading: 100 %\n");
  },
});
