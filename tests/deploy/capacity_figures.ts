/**
 * The figures of deploy/capacity.md, computed: what its test compares, and what renews the page.
 *
 * `deno run -A tests/deploy/capacity_figures.ts && deno fmt deploy` writes them into the page anew,
 * after rates or layouts have changed; the words around them want a look then.
 */
import assert from "node:assert/strict";
import { run } from "../../model/cli/simulate.ts";
import { BRANCHES, memoryBytes } from "../../model/hub/branches.ts";
import { BLOCK_TOKENS, kvBytesPerToken } from "../../model/kv_cache.ts";
import { FALCON_7B } from "../../model/simulate/plan.ts";
import { H200, rateTable } from "../../model/simulate/rates.ts";
import { captured } from "../model/cli/captured.ts";

export const PAGE = new URL("../../deploy/capacity.md", import.meta.url);
/** A command of the page, its flags, and the table that it prints. */
export const RUN = /^```console\n\$ deno task simulate (.*)\n…\n([^`]*)```$/gm;

const CARDS = [8, 24, 80, 141];
/** nvidia-smi said 4396 MiB where our buffers were 4.19 to 4.23 GB (README, Figures). */
const DRIVER_BYTES = 0.4e9;
/** An H200's. */
const BINDING_BYTES = 2 ** 31 - 4;
const BLOCK_BYTES = BLOCK_TOKENS * kvBytesPerToken(FALCON_7B);
const DIALOGUE_BLOCKS = FALCON_7B.maxPositions / BLOCK_TOKENS;

/** What fits memory; and one binding, which holds all layers' blocks or one layer's. */
export function cardRows(): string[] {
  return ["main", "gptq-8bit-128g-actorder_True"].flatMap((revision) => {
    const branch = BRANCHES.find((branch) => branch.revision === revision)!;
    const fixed = memoryBytes(branch) - DIALOGUE_BLOCKS * BLOCK_BYTES;
    return CARDS.map((card) => {
      const left = card * 1e9 - DRIVER_BYTES - fixed;
      const dialogues = (bytes: number) =>
        Math.floor(Math.floor(Math.min(left, bytes) / BLOCK_BYTES) / DIALOGUE_BLOCKS);
      return row(
        `${card} GB`,
        `\`${revision}\``,
        gigabytes(fixed),
        gigabytes(left),
        dialogues(BINDING_BYTES),
        dialogues(BINDING_BYTES * FALCON_7B.layers),
      );
    });
  });
}

/** Streams that run together, and the dialogues of 60-token answers and 20-second pauses behind. */
export function streamRows(): string[] {
  const rate = rateTable(H200.decode_tok_s);
  return [1, 8, 32, 128].map((streams) => {
    const each = rate(streams) / streams;
    const served = Math.floor(streams * (60 / each + 20) / (60 / each));
    const source = streams === 1 ? "measured" : "assumed";
    return row(streams, rate(streams).toFixed(0), each.toFixed(0), source, served);
  });
}

/** The table that the command prints. */
export async function simulated(flags: string): Promise<string> {
  const { code, stdout, stderr } = await captured(() => run(flags.split(" ")));
  assert.equal(code, 0, stderr);
  return stdout.slice(stdout.indexOf("\npolicy ") + 1, stdout.indexOf("\n\n{") + 1);
}

function row(...cells: (string | number)[]): string {
  return `| ${cells.join(" | ")} |`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}

if (import.meta.main) {
  let page = await Deno.readTextFile(PAGE);
  for (const [head, rows] of [["GPU", cardRows()], ["streams", streamRows()]] as const) {
    const table = new RegExp(`^(\\| ${head} .*\\n\\|[ -|]*\\n)(\\|.*\\n)*`, "m");
    page = page.replace(table, (_, top) => `${top}${rows.join("\n")}\n`);
  }
  for (const [block, flags, table] of page.matchAll(RUN)) {
    page = page.replace(block, block.replace(table!, await simulated(flags!)));
  }
  await Deno.writeTextFile(PAGE, page);
}
