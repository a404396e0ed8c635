/** The table of branches, and what of it is here. */
import assert from "node:assert/strict";
import { help, run } from "../../../model/cli/branches.ts";
import { pull } from "../../../model/hub/pull.ts";
import { hubSettings } from "../../../model/hub/settings.ts";
import { REPO } from "../hub/mock_hub.ts";
import { repository, withHub } from "../hub/repositories.ts";
import { captured } from "./captured.ts";

const REVISION = "gptq-8bit--1g-actorder_True";

/** Runs the command in this process, with this cache. */
async function branches(cache: string, args: string[] = []) {
  const before = Deno.env.get("HF_HUB_CACHE");
  Deno.env.set("HF_HUB_CACHE", cache);
  try {
    return await captured(() => run(args));
  } finally {
    if (before === undefined) Deno.env.delete("HF_HUB_CACHE");
    else Deno.env.set("HF_HUB_CACHE", before);
  }
}

Deno.test("six branches, with the true sizes, and those that are here", async () => {
  const main = await repository();
  await withHub({ branches: { main, [REVISION]: main } }, async ({ hub, cache, variables }) => {
    const before = await branches(cache);
    assert.equal(before.code, 0);
    const lines = before.stdout.trim().split("\n");
    assert.equal(lines[0], REPO);
    assert.match(lines[2]!, /^branch +bits +group +act-order +on disk +GPU memory +here$/);
    assert.match(lines[3]!, /^main +4 +128 +yes +4\.04 GB +4\.\d\d GB +-$/);
    assert.match(lines[6]!, /^gptq-8bit--1g-actorder_True +8 +none +yes +7\.23 GB +7\.\d\d GB +-$/);
    assert.equal(lines.length, 11);
    assert.match(lines[10]!, /^Sizes are computed; /);

    const { folder } = await pull({ repo: REPO, revision: REVISION }, {
      settings: hubSettings(variables),
    });
    const asked = hub.seen.length;
    const rows = JSON.parse((await branches(cache, ["--json"])).stdout);
    const here = rows.filter((row: { folder: string | null }) => row.folder !== null);
    assert.equal(rows.length, 6);
    assert.deepEqual(
      here.map((row: { revision: string; folder: string }) => [row.revision, row.folder]),
      [
        [REVISION, folder],
      ],
    );
    assert.match((await branches(cache)).stdout, /^gptq-8bit--1g-actorder_True .* yes$/m);
    assert.equal(hub.seen.length, asked);
  });
});

Deno.test("wrong arguments get one sentence and exit code 2; help", async () => {
  const stray = await captured(() => run(["stray"]));
  assert.deepEqual([stray.code, stray.stdout], [2, ""]);
  assert.equal(stray.stderr, 'Expected flags alone, found "stray". Try --help.\n');
  const slip = await captured(() => run(["--jsno"]));
  assert.equal(slip.stderr, "There is no flag --jsno. Did you mean --json? Try --help.\n");
  const { code, stdout } = await captured(() => run(["--help"]));
  assert.deepEqual([code, stdout], [0, `${help}\n`]);
});
