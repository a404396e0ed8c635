/**
 * What the built-in model answers to the prompts of a file, a line of JSON each:
 * `deno run -A model/tiny/quality/answers.ts prompts.json > answers.jsonl`
 *
 * Knows that a prompt's seed is its place in the file, from 0; all else is as `generate` does it, so
 * `generate --seed N --max-new-tokens 60 PROMPT` repeats an answer.
 */
import { builtinModel } from "../../builtin.ts";
import { Arguments } from "../../cli/arguments.ts";
import { readSampling, SAMPLING_FLAGS } from "../../cli/sampling_flags.ts";
import { startLocalEngine } from "../../local_engine.ts";
import { generateText } from "../../text_generation.ts";
import { loadTextSide } from "../../text_side.ts";

const MAX_NEW_TOKENS = 60;

const model = Deno.env.get("MODEL") || builtinModel();
const prompts: { prompt: string }[] = JSON.parse(await Deno.readTextFile(Deno.args[0]!));
const { tokenizer, stopTokens } = await loadTextSide(model);
const engine = startLocalEngine({ model, queueLimit: 1, slots: 1 });
await engine.ready;
for (const [seed, { prompt }] of prompts.entries()) {
  const request = {
    prompt: tokenizer.encode(prompt),
    maxNewTokens: MAX_NEW_TOKENS,
    sampling: readSampling(new Arguments(["--seed", `${seed}`], SAMPLING_FLAGS)),
    stop: [],
    keepStop: false,
    stopTokens,
    topTokens: 0,
    promptLogprobs: false,
  };
  for await (const event of generateText(engine, tokenizer, request)) {
    if (event.type !== "end") continue;
    console.log(JSON.stringify({ prompt, seed, answer: event.text, reason: event.reason }));
  }
}
await engine.close();
