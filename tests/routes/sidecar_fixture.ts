/**
 * A sidecar with a fake engine behind the built-in model's text side. Its arguments are the flags of
 * `serve`; FAKE_DELAY is the milliseconds before each token.
 */
import { builtinModel } from "../../model/builtin.ts";
import { loadTextSide } from "../../model/text_side.ts";
import { serve } from "../../routes/serve.ts";
import { readSettings } from "../../routes/settings.ts";
import { FakeEngine } from "../model/fake_engine.ts";

const text = await loadTextSide(builtinModel());
const engine = new FakeEngine({
  delay: Number(Deno.env.get("FAKE_DELAY")),
  script: text.tokenizer.encode("Oui, bien."),
  info: { vocabSize: 65536, maxPositions: 2048 },
});
const code = await serve(readSettings(Deno.args, {}), () => ({
  engine,
  text: Promise.resolve(text),
}));
Deno.exit(code);
