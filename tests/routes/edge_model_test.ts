/** An edge over three sidecars that compute the built-in model, all of them processes. */
import assert from "node:assert/strict";
import {
  builtinSidecar,
  edgeOver,
  eventually,
  hostedEdgeOver,
  infoOf,
  type Outcome,
  stream,
} from "./edge_rig.ts";
import { jsonPost } from "./helpers.ts";

const DETAILED = jsonPost({
  inputs: "- Bonjour, ça va ?\n-",
  parameters: { max_new_tokens: 8, details: true, decoder_input_details: true, top_n_tokens: 2 },
});

Deno.test("three sidecars with the built-in model: the same answers, and one killed under load", async (t) => {
  await using a = builtinSidecar();
  await using b = builtinSidecar();
  await using c = builtinSidecar();
  const urls = await Promise.all([a.url(), b.url(), c.url()]);
  await using edge = edgeOver(urls);
  const url = await edge.url();
  for (const each of urls) await edge.says(new RegExp(`${each} takes requests`));

  await t.step("an answer through the edge is that of the sidecar, to the last bit", async () => {
    // One after the other: rows that share a step are added up in another order.
    const direct = await (await fetch(`${urls[0]}/generate`, DETAILED)).json();
    const through = await (await fetch(`${url}/generate`, DETAILED)).json();
    assert.equal(direct.details.tokens.length, 8);
    assert.ok(direct.details.prefill.length > 3);
    assert.deepEqual(through, direct);
    const [info, own] = await Promise.all(
      [url, urls[0]!].map(async (url) => (await fetch(`${url}/info`)).json()),
    );
    assert.deepEqual([info.model_id, info.adapter], [own.model_id, own.adapter]);
  });

  await t.step("a client that leaves stops the GPU", async () => {
    const leave = new AbortController();
    const rows = async () =>
      (await Promise.all(urls.map(infoOf))).reduce((sum, { stats }) => sum + stats.rows, 0);
    const before = await rows();
    const body = { inputs: "Bonjour", parameters: { max_new_tokens: 1000 } };
    const response = await fetch(`${url}/generate_stream`, jsonPost(body, leave.signal));
    await response.body!.getReader().read();
    leave.abort();
    await eventually(async () =>
      (await Promise.all(urls.map(infoOf))).every(({ stats }) => stats.running === 0)
    );
    const after = await rows();
    assert.ok(after - before < 500, `${after - before} rows`);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(await rows(), after);
  });

  await t.step(
    "kill -9: only streams of that sidecar break, and all are accounted for",
    async () => {
      const expected = await stream(urls[0]!, 16);
      const all = Array.from({ length: 9 }, (_, i) => stream(url, 16, `session ${i}`));
      const has = async (url: string) => {
        const { running, waiting } = (await infoOf(url)).stats;
        return running + waiting;
      };
      await eventually(async () => await has(urls[1]!) > 0);
      const had = await has(urls[1]!);
      b.signal("SIGKILL");
      const outcomes: Outcome[] = await Promise.all(all);
      const whole = outcomes.filter(({ error }) => error === undefined);
      const broken = outcomes.filter(({ error }) => error !== undefined);
      assert.equal(whole.length + broken.length, 9);
      assert.ok(broken.length <= had, `${broken.length} broken, it had ${had}`);
      assert.ok(broken.every(({ error, tokens }) => error === "generation" && tokens > 0));
      for (const outcome of whole) assert.deepEqual(outcome, expected);
      for (let i = 0; i < 6; i++) {
        assert.deepEqual(await stream(url, 16, `later ${i}`), expected);
      }
    },
  );

  await t.step("`deno serve` makes an edge too, which waits for its sidecars", async () => {
    await using hosted = hostedEdgeOver(urls);
    const answer = await fetch(`${await hosted.url()}/generate`, DETAILED);
    assert.equal(answer.status, 200);
    assert.equal((await answer.json()).details.tokens.length, 8);
  });
});
