/** A dialogue through everything there is: routes, engine, GPU, a model made here. */
import assert from "node:assert/strict";
import { loadTextSide } from "../../model/text_side.ts";
import { createApp } from "../../routes/app.ts";
import { withEngine } from "../model/engine_rig.ts";
import { withSynthetic } from "../model/synthetic.ts";
import { CALL, readNamed, turnsOf } from "./dialogue_client.ts";
import { jsonPost } from "./helpers.ts";

Deno.test("a dialogue on the GPU: streamed and whole are the same, for a seed", () =>
  withSynthetic({ tokenizer: true }, (model) =>
    withEngine({ model }, async (engine) => {
      const app = createApp({ engine, text: loadTextSide(model) });
      const ask = async (more: object) => {
        const body = { ...CALL, seed: 11, max_tokens: 24, max_turns: 3, ...more };
        const response = await app.request("/v1/dialogues", jsonPost(body));
        assert.equal(response.status, 200);
        return response;
      };
      const whole = await (await ask({})).json();
      assert.ok(whole.turns[0].text.length > 0);
      const events = await readNamed(await ask({ stream: true }));
      assert.deepEqual(turnsOf(events), whole.turns);
      assert.deepEqual(events.at(-1)!.data.usage, whole.usage);
      const again = await (await ask({})).json();
      assert.deepEqual(again.turns, whole.turns);
      const other = await (await ask({ seed: 12 })).json();
      assert.notDeepEqual(other.turns, whole.turns);
    })));
