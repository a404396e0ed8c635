/** Errors against golden.json, whole and changed by hand. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError } from "../../model/checkpoint/error.ts";
import { Falcon } from "../../model/falcon.ts";
import { referenceError } from "../../model/reference_error.ts";
import { committedGolden, loadGolden } from "../golden.ts";
import { withGpu } from "../helpers.ts";

const DIR = committedGolden("q4-g128-act");

async function withReference(
  golden: unknown,
  files: Record<string, Uint8Array>,
  body: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, "golden.json"), JSON.stringify(golden));
    for (const [name, bytes] of Object.entries(files)) {
      await Deno.writeFile(join(folder, name), bytes);
    }
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("reference error: small against the golden logits, in chunks of a prompt too", () =>
  withGpu(async (gpu) => {
    for (const maxRows of [256, 3]) {
      const model = await Falcon.load(gpu, DIR, { maxRows });
      const error = await referenceError(model, DIR);
      assert(error > 0 && error <= 1e-5, `NMSE ${error}`);
      assert.equal(model.kv.blocksUsed, 0);
    }
  }));

Deno.test("reference error: the worst prompt counts, and logits may lie in a file", () =>
  withGpu(async (gpu) => {
    const model = await Falcon.load(gpu, DIR);
    const [{ ids, lastLogits }] = loadGolden(DIR).prompts as [
      ReturnType<typeof loadGolden>["prompts"][0],
    ];
    // Logits that are twice ours: (1 - 2)² / 2² = 1/4.
    const doubled = new Uint8Array(lastLogits.map((logit) => 2 * logit).buffer as ArrayBuffer);
    const prompts = [
      { ids, last_logits_file: "logits_0.bin" },
      { ids, last_logits: [...lastLogits] },
    ];
    await withReference({ prompts }, { "logits_0.bin": doubled }, async (folder) => {
      const error = await referenceError(model, folder);
      assert(Math.abs(error - 0.25) < 0.01, `NMSE ${error}`);
    });
  }));

Deno.test("reference error: what is no reference is refused by name", () =>
  withGpu(async (gpu) => {
    const model = await Falcon.load(gpu, DIR);
    const cases: [unknown, RegExp][] = [
      [{ prompts: [] }, /golden\.json should hold "prompts", at least one/],
      [
        { prompts: [{ ids: [1], last_logits: [1, 2] }] },
        /prompt 0: expected \d+ logits, found 2\./,
      ],
      [{ prompts: [{ ids: [1], last_logits_file: "none.bin" }] }, /none\.bin cannot be read/],
    ];
    for (const [golden, message] of cases) {
      await withReference(golden, {}, async (folder) => {
        await assert.rejects(referenceError(model, folder), (error: Error) => {
          assert(error instanceof CheckpointError);
          assert.match(error.message, message);
          return true;
        });
      });
    }
  }));
