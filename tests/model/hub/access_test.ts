/** Private and gated models, and where the token goes. */
import assert from "node:assert/strict";
import { pull } from "../../../model/hub/pull.ts";
import { hubSettings } from "../../../model/hub/settings.ts";
import { REPO } from "./mock_hub.ts";
import { type Place, repository, withHub } from "./repositories.ts";

const TOKEN = "hf_ThisIsTheToken";
const branches = { main: await repository() };

async function refusal(place: Place, token?: string, repo = REPO, revision = "main") {
  const settings = hubSettings({ ...place.variables, ...token && { HF_TOKEN: token } });
  try {
    await pull({ repo, revision }, { settings });
  } catch (error) {
    assert.equal((error as Error).name, "HubError");
    assert.doesNotMatch((error as Error).message, /hf_|signature|\n/);
    return (error as Error).message;
  }
  return "";
}

Deno.test("the token goes to the hub, and to no other host", () =>
  withHub({ branches, token: TOKEN }, async (place) => {
    assert.equal(await refusal(place, TOKEN), "");
    const { seen } = place.hub;
    assert.ok(seen.some(({ host }) => host === "cdn"));
    for (const { host, authorization } of seen) {
      assert.equal(authorization, host === "hub" ? `Bearer ${TOKEN}` : null);
    }
  }));

Deno.test("private: without a token, with a wrong one", () =>
  withHub({ branches, token: TOKEN }, async (place) => {
    assert.match(
      await refusal(place),
      new RegExp(`shows no model ${REPO}: check the name; if it is private, set HF_TOKEN \\(`),
    );
    assert.match(
      await refusal(place, "hf_wrong"),
      /HF_TOKEN .* a token that the hub does not accept/,
    );
  }));

Deno.test("gated: without a token, with one that has no access", () =>
  withHub({ branches, token: TOKEN, gated: true }, async (place) => {
    const page = `${place.hub.endpoint}/${REPO}`;
    assert.equal(
      await refusal(place),
      `${REPO} wants its terms accepted: ask for access on ${page}; then set HF_TOKEN ` +
        "(a token from https://huggingface.co/settings/tokens).",
    );
    assert.equal(
      await refusal(place, "hf_other"),
      `${REPO} wants its terms accepted: ask for access on ${page}; ` +
        "the account of this token has none yet.",
    );
  }));

Deno.test("a 403 in the hub's own words, quoted", () =>
  withHub({ branches }, async (place) => {
    place.hub.fault = () =>
      new Response(null, { status: 403, headers: { "x-error-message": "Not for you." } });
    assert.match(
      await refusal(place, TOKEN),
      /^The hub refuses .*\("Not for you\."\): the token may not read it\.$/,
    );
  }));

Deno.test("a name or a revision that is not there", () =>
  withHub({ branches }, async (place) => {
    assert.match(
      await refusal(place, undefined, "me/typo"),
      /shows no model me\/typo: check the name/,
    );
    assert.match(
      await refusal(place, TOKEN, "me/typo"),
      /check the name, and whether the token may/,
    );
    assert.equal(
      await refusal(place, undefined, REPO, "gptq-8bit-128g-actorder_Ture"),
      `${REPO} has no branch, tag or commit "gptq-8bit-128g-actorder_Ture". ` +
        "Did you mean gptq-8bit-128g-actorder_True?",
    );
  }));
