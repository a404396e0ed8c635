/**
 * Checkpoints to be refused: a committed golden copied to a temporary folder and damaged there.
 *
 * Knows how to change a copy, and what every refusal must look like. Knows no particular damage.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError } from "../../../model/checkpoint/error.ts";
import { committedGolden } from "../../golden.ts";
import { readSafetensors, type Tensor, writeSafetensors } from "../../safetensors.ts";

/** A copy of a checkpoint that may be changed at will. */
export class Copy {
  constructor(readonly dir: string) {}

  path(name: string): string {
    return join(this.dir, name);
  }

  async json(name: string): Promise<Record<string, unknown>> {
    return JSON.parse(await Deno.readTextFile(this.path(name)));
  }

  async writeJson(name: string, value: unknown): Promise<void> {
    await Deno.writeTextFile(this.path(name), JSON.stringify(value));
  }

  /** Sets keys of a JSON file; undefined removes one. */
  async edit(name: string, changes: Record<string, unknown>): Promise<void> {
    await this.writeJson(name, { ...await this.json(name), ...changes });
  }

  tensors(): Promise<Map<string, Tensor>> {
    return readSafetensors(this.path("model.safetensors"));
  }

  /** Rewrites model.safetensors with changed tensors. */
  async editTensors(change: (tensors: Map<string, Tensor>) => void): Promise<void> {
    const tensors = await this.tensors();
    change(tensors);
    await writeSafetensors(this.path("model.safetensors"), tensors);
  }
}

/** Runs `body` with a copy of a committed golden, and removes the copy. */
export async function withCopy(
  body: (copy: Copy) => Promise<void>,
  golden = "q4-g128-act",
): Promise<void> {
  const source = committedGolden(golden);
  const dir = await Deno.makeTempDir({ prefix: "clairon-checkpoint-" });
  try {
    for (const name of ["config.json", "quantize_config.json", "model.safetensors"]) {
      await Deno.copyFile(join(source, name), join(dir, name));
    }
    await body(new Copy(dir));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Asserts that `run` throws a CheckpointError of one sentence that holds all `words`. */
export async function refused(run: () => unknown, ...words: string[]): Promise<void> {
  let caught: unknown;
  try {
    await run();
  } catch (error) {
    caught = error;
  }
  assert(caught instanceof CheckpointError, `expected a CheckpointError, found ${caught}`);
  const { message } = caught;
  assert.match(message, /^[^\n]+ should be [^\n]+, found [^\n]+\.$/);
  for (const word of words) assert(message.includes(word), `${word} is not in: ${message}`);
}

/** A tensor of zeros. */
export function zeros(dtype: "F16" | "F32" | "I32", ...shape: number[]): Tensor {
  const size = dtype === "F16" ? 2 : 4;
  const bytes = new Uint8Array(shape.reduce((product, length) => product * length, size));
  return { dtype, shape, bytes };
}
