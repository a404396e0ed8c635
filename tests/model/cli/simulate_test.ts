import assert from "node:assert/strict";
import { join } from "node:path";
import { run } from "../../../model/cli/simulate.ts";
import { ASSUMPTIONS } from "../../../model/simulate/plan.ts";
import { POLICIES } from "../../../model/simulate/policies.ts";
import { H200 } from "../../../model/simulate/rates.ts";
import { captured } from "./captured.ts";

const simulate = (flags: string) => captured(() => run(flags.split(" ").filter(Boolean)));
const SHORT = "--sidecars 3 --seconds 300 --warm-up 60";

Deno.test("simulate prints assumptions, a line a policy, and one JSON object at last", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const file = join(dir, "figures.json");
    const { code, stdout, stderr } = await simulate(`${SHORT} --kill-at 150 --json ${file}`);
    assert.deepEqual([code, stderr], [0, ""]);
    for (const text of [...ASSUMPTIONS, H200.source]) assert(stdout.includes(text), text);
    const last = stdout.trimEnd().split("\n").at(-1)!;
    assert.equal(await Deno.readTextFile(file), `${last}\n`);
    const { settings, policies } = JSON.parse(last);
    assert.deepEqual(Object.keys(policies), [...POLICIES]);
    assert.deepEqual([settings.sidecars, settings.rate, settings.kill_at_s], [3, 1.5, 150]);
    for (const name of POLICIES) {
      const { ttft_ms, counts, death } = policies[name];
      assert.match(stdout, new RegExp(`^${name} +${ttft_ms.p50.toFixed(0)} +`, "m"));
      const { asked, finished, broken, refused, in_flight } = counts;
      assert.equal(asked, finished + broken + refused + in_flight);
      assert(death.before.turns > 0 && death.after.turns > 0);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("equal seeds give equal figures; one policy alone has those it has beside others", async () => {
  const figures = async (flags: string) =>
    JSON.parse((await simulate(`${SHORT} ${flags}`)).stdout.trimEnd().split("\n").at(-1)!).policies;
  const all = await figures("--seed 5");
  assert.deepEqual(await figures("--seed 5"), all);
  assert.deepEqual(await figures("--seed 5 --policy random"), { random: all["random"] });
  assert.notDeepEqual(await figures("--seed 6"), all);
});

Deno.test("simulate takes rates from a file, and says what is wrong with it", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const file = join(dir, "rates.json");
    const slow = { source: "a slow card", decode_tok_s: { 1: 20 }, prefill_tok_s: { 1: 100 } };
    await Deno.writeTextFile(file, JSON.stringify({ ...slow, overhead_ms: 0 }));
    const { code, stdout } = await simulate(`${SHORT} --rate 0.01 --rates ${file}`);
    assert.equal(code, 0);
    assert.match(stdout, /^- Rates: a slow card\.$/m);
    // Alone on its card, as nearly all are: 20 tokens/s.
    assert.match(stdout, /^least-loaded +\d+ +\d+ +20 /m);
    await Deno.writeTextFile(file, JSON.stringify(slow));
    const wrong = await simulate(`--rates ${file}`);
    assert.deepEqual([wrong.code, wrong.stdout], [2, ""]);
    assert.match(
      wrong.stderr,
      /^--rates must be a file of rates, found ".*: overhead_ms: .*"\.\n$/,
    );
    assert.match(
      (await simulate("--rates none.json")).stderr,
      /^--rates none\.json cannot be read/,
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("simulate refuses what cannot be meant", async () => {
  const cases: [string, RegExp][] = [
    ["--sidecars 0", /^--sidecars must be a whole number from 1 to 1000, found "0"\.$/],
    ["--rate 0", /^--rate must be a number above 0, found "0"\.$/],
    ["--policy fair", /^--policy must be rendezvous, .* or all, found "fair"\.$/],
    ["--kill-at 2000", /^--kill-at must be a time from 0 to before 1800 seconds, found "2000"\.$/],
    ["--kill-at 9 --back-at 8", /^--back-at must be a time from 9 to before 1800/],
    ["--back-at 8", /^--back-at needs --kill-at/],
    ["--answer 4000", /^--answer must be a whole number from 1 to 2048/],
    ["more", /^Expected flags only, found "more"/],
  ];
  for (const [flags, message] of cases) {
    const { code, stdout, stderr } = await simulate(flags);
    assert.deepEqual([code, stdout], [2, ""], flags);
    assert.match(stderr.trimEnd(), message);
  }
});
