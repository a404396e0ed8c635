/** The capacity page says what the layout, the measured rates and the simulation say. */
import assert from "node:assert/strict";
import { BRANCHES, memoryBytes } from "../../model/hub/branches.ts";
import { run } from "../../model/cli/simulate.ts";
import { BLOCK_TOKENS, kvBytesPerToken } from "../../model/kv_cache.ts";
import { ASSUMPTIONS, FALCON_7B } from "../../model/simulate/plan.ts";
import { H200, rateTable } from "../../model/simulate/rates.ts";
import { captured } from "../model/cli/captured.ts";

const page = await Deno.readTextFile(new URL("../../deploy/capacity.md", import.meta.url));
/** Runs of blanks are one: the formatter pads columns. */
const plain = page.replace(/[ \n]+/g, " ");

function assertSays(text: string): void {
  assert(plain.includes(text), `capacity.md should say: ${text}`);
}

const CARDS = [8, 24, 80, 141];
/** nvidia-smi said 4396 MiB where our buffers were 4.19 to 4.23 GB (README, Figures). */
const DRIVER_BYTES = 0.4e9;
/** An H200's; other GPUs of NVIDIA have the same, wgpu's limit being 2^31 - 1. */
const BINDING_BYTES = 2 ** 31 - 4;
const TOKENS = FALCON_7B.maxPositions;
const KV_BYTES = TOKENS * kvBytesPerToken(FALCON_7B);

/** `fits` is what memory alone holds; one binding holds a layer's part, or that of all layers. */
function dialogues(gigabytes: number, revision: string) {
  const branch = BRANCHES.find((branch) => branch.revision === revision)!;
  const fixed = memoryBytes(branch) - KV_BYTES;
  const left = gigabytes * 1e9 - DRIVER_BYTES - fixed;
  const blocksOf = (bytes: number) =>
    Math.floor(bytes / (BLOCK_TOKENS * kvBytesPerToken(FALCON_7B)));
  const whole = (blocks: number) => Math.floor(blocks / (TOKENS / BLOCK_TOKENS));
  const persistent = whole(Math.min(blocksOf(left), blocksOf(BINDING_BYTES)));
  const portable = whole(Math.min(blocksOf(left), blocksOf(BINDING_BYTES * FALCON_7B.layers)));
  return { fixed, left, persistent, portable };
}

Deno.test("how many dialogues a card holds", () => {
  for (const revision of ["main", "gptq-8bit-128g-actorder_True"]) {
    for (const card of CARDS) {
      const { fixed, left, persistent, portable } = dialogues(card, revision);
      const row = [`${card} GB`, `\`${revision}\``, gb(fixed), gb(left), persistent, portable];
      assertSays(`| ${row.join(" | ")} |`);
    }
  }
  assertSays(`${kvBytesPerToken(FALCON_7B) / 1024} KiB a token`);
  assertSays(`${KV_BYTES / 2 ** 20} MiB for ${TOKENS} tokens`);
});

function gb(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}

Deno.test("how fast streams are that run together, and how many dialogues they serve", () => {
  const rate = rateTable(H200.decode_tok_s);
  for (const streams of [1, 8, 16, 32]) {
    const [all, each] = [rate(streams), rate(streams) / streams];
    const source = streams === 1 ? "measured" : "assumed";
    // 60 tokens of answer, then 20 seconds to read and to write.
    const served = Math.floor(streams * (60 / each + 20) / (60 / each));
    const row = [streams, all.toFixed(0), each.toFixed(0), source, served];
    assertSays(`| ${row.join(" | ")} |`);
  }
});

Deno.test("the page states every assumption of the simulation", () => {
  for (const text of ASSUMPTIONS) assertSays(text);
  // Replicas are the only way: 71 has no divisor.
  const divisors = Array.from({ length: FALCON_7B.heads }, (_, i) => i + 1)
    .filter((n) => FALCON_7B.heads % n === 0);
  assert.deepEqual(divisors, [1, 71]);
  assertSays("71 query heads");
});

const RUN = /^```console\n\$ deno task simulate (.*)\n…\n([^`]*)```$/gm;
const runs = [...page.matchAll(RUN)];

Deno.test("the page has a simulation of 1, 10 and 100 sidecars", () => {
  const sizes = runs.map(([, flags]) => /--sidecars (\d+)/.exec(flags!)?.[1]);
  for (const size of ["1", "10", "100"]) assert(sizes.includes(size), size);
});

for (const [, flags, expected] of runs) {
  Deno.test(`simulate ${flags} gives what the page says`, async () => {
    const { code, stdout } = await captured(() => run(flags!.split(" ")));
    assert.equal(code, 0);
    const printed = stdout.slice(stdout.indexOf("\npolicy ") + 1, stdout.indexOf("\n\n{") + 1);
    assert.equal(expected, printed);
  });
}
