/**
 * `serve` with a fake engine, driven by lines on standard input: "ready", "fail" (to load), "lose".
 * Its arguments are the flags of `serve`.
 */
import { CheckpointError } from "../../model/checkpoint/error.ts";
import { serve } from "../../routes/serve.ts";
import { readSettings } from "../../routes/settings.ts";
import { FakeEngine } from "../model/fake_engine.ts";
import { END_OF_TEXT, ids, tokenizer } from "./helpers.ts";

const engine = new FakeEngine({ state: "loading", progress: 0.5, delay: 5, script: ids("Oui. ") });

async function obey() {
  for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    for (const order of chunk.trim().split("\n")) {
      if (order === "ready") engine.finishLoading();
      if (order === "lose") engine.lose("somebody pulled the plug");
      if (order === "fail") {
        engine.failLoading(
          new CheckpointError("config.json: this should be a file, found nothing."),
        );
      }
    }
  }
}
obey();

const code = await serve(readSettings(Deno.args, {}), (_settings, onProgress) => {
  onProgress({ stage: "weights", done: 1, total: 2 });
  return {
    engine,
    text: Promise.resolve({ tokenizer, stopTokens: [END_OF_TEXT], fingerprint: "" }),
  };
});
Deno.exit(code);
