/** `serve --model owner/name`: fetched when it is not there, and what is told meanwhile. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { commitOf, REPO } from "../model/hub/mock_hub.ts";
import { type Place, repository, withHub } from "../model/hub/repositories.ts";
import { jsonPost } from "./helpers.ts";
import { ServerProcess } from "./server_process.ts";

const MAIN = fileURLToPath(new URL("../../main.ts", import.meta.url));
const branches = { main: await repository(), "gptq-8bit/x": await repository({ bits: 8 }) };

function serve(
  { variables }: Place,
  args: string[],
  env: Record<string, string> = {},
): ServerProcess {
  return new ServerProcess([MAIN, "serve", "--port", "0", ...args], {
    ...variables,
    MODEL: "",
    ...env,
  });
}

Deno.test("a model that is not there is fetched while /health gives a percentage", () =>
  withHub({ branches }, async (place) => {
    const { hub } = place;
    const release = Promise.withResolvers<void>();
    let pieces = 0;
    hub.onPiece = async ({ file, host }) => {
      if (file === "model.safetensors" && host === "cdn" && ++pieces > 30) await release.promise;
    };
    await using server = serve(place, ["--model", `${REPO}:gptq-8bit/x`]);
    const url = await server.url();
    await server.says(new RegExp(`Downloading ${REPO}:gptq-8bit/x: \\d+ %, .* of \\S+ MB`));
    let health = { progress: 0 };
    while (health.progress === 0) {
      const response = await fetch(`${url}/health`);
      assert.equal(response.status, 503);
      health = await response.json();
    }
    assert.deepEqual({ ...health, progress: 0 }, {
      error: "unhealthy",
      error_type: "healthcheck",
      status: "loading",
      progress: 0,
    });
    assert.ok(health.progress < 100);
    release.resolve();

    await server.says(/Try it:/);
    const commit = commitOf("gptq-8bit/x");
    assert.match(
      server.stderr,
      new RegExp(`^ {2}model +${REPO} \\(8-bit, groups of 128, act-order\\)$`, "m"),
    );
    assert.match(
      server.stderr,
      new RegExp(`^ {2}branch +gptq-8bit/x \\(commit ${commit.slice(0, 7)}\\)$`, "m"),
    );
    const info = await (await fetch(`${url}/info`)).json();
    assert.deepEqual([info.model_id, info.model_sha], [REPO, commit]);
    const answer = await fetch(
      `${url}/generate`,
      jsonPost({ inputs: "a", parameters: { max_new_tokens: 1 } }),
    );
    assert.equal(answer.status, 200);
    await answer.body?.cancel();
  }));

Deno.test("a model that is there is served without asking the hub; one that cannot be had ends with 1", () =>
  withHub({ branches }, async (place) => {
    {
      await using first = serve(place, [], { MODEL: REPO });
      await first.says(/Try it:/);
    }
    const asked = place.hub.seen.length;
    {
      await using second = serve(place, ["--model", `${REPO}:main`], { HF_HUB_OFFLINE: "1" });
      await second.says(/Try it:/);
    }
    assert.equal(place.hub.seen.length, asked);
    await using typo = serve(place, ["--model", "me/typo"]);
    assert.equal(await typo.exit(), 1);
    assert.match(
      typo.stderr,
      /^There is no folder me\/typo, so the hub was asked\. .* shows no model me\/typo: .*$/m,
    );
    assert.doesNotMatch(typo.stderr, /^ +at /m);
  }));
