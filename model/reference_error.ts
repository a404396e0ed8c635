/**
 * How far a model's logits are from those of another program, for the same checkpoint.
 *
 * Knows the form of `golden.json`, as `tests/full_width/torch_reference.py` writes it. Knows nothing
 * of how either program computes. The last token of a prompt is a step of its own, so that it takes
 * the way of decoding.
 */
import { join } from "node:path";
import { readOnce } from "../gpu/readback.ts";
import { CheckpointError } from "./checkpoint/error.ts";
import type { Falcon } from "./falcon.ts";
import { nmse } from "./path.ts";
import type { Row } from "./state.ts";

interface Prompt {
  ids: number[];
  /** Float64, little-endian, in a file beside golden.json, or in it. */
  last_logits_file?: string;
  last_logits?: number[];
}

/**
 * The normalised mean square error of the last logits, the worst of all prompts.
 *
 * @throws {CheckpointError} when the folder holds no golden.json with logits of this vocabulary.
 */
export async function referenceError(model: Falcon, dir: string): Promise<number> {
  let worst = 0;
  for (const { ids, logits } of await readPrompts(dir, model.config.vocabSize)) {
    worst = Math.max(worst, nmse(await lastLogits(model, ids), logits));
  }
  return worst;
}

async function readPrompts(dir: string, vocabSize: number) {
  const path = join(dir, "golden.json");
  const read = async (name: string) => {
    try {
      return await Deno.readFile(join(dir, name));
    } catch (error) {
      throw new CheckpointError(`${join(dir, name)} cannot be read: ${(error as Error).message}`);
    }
  };
  const text = new TextDecoder().decode(await read("golden.json"));
  let prompts: Prompt[];
  try {
    ({ prompts } = JSON.parse(text));
  } catch {
    throw new CheckpointError(`${path} is no JSON.`);
  }
  if (!Array.isArray(prompts) || prompts.length === 0) {
    throw new CheckpointError(`${path} should hold "prompts", at least one.`);
  }
  return await Promise.all(prompts.map(async ({ ids, last_logits_file, last_logits }, i) => {
    const logits = last_logits_file === undefined
      ? Float64Array.from(last_logits ?? [])
      : new Float64Array((await read(last_logits_file)).slice().buffer);
    if (logits.length !== vocabSize) {
      const found = `found ${logits.length}`;
      throw new CheckpointError(`${path}, prompt ${i}: expected ${vocabSize} logits, ${found}.`);
    }
    return { ids, logits };
  }));
}

async function lastLogits(model: Falcon, ids: number[]): Promise<Float32Array> {
  const { gpu, forward, state, kv, config } = model;
  const rows = ids.map((token, position): Row => ({ token, position, slot: 0 }));
  const step = (rows: Row[], picks: number[]) => {
    const shape = forward.upload(rows, picks);
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    forward.encode(pass, shape);
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
  };
  kv.grow(0, ids.length);
  try {
    const before = rows.slice(0, -1);
    for (let i = 0; i < before.length; i += state.limits.maxRows) {
      step(before.slice(i, i + state.limits.maxRows), []);
    }
    step(rows.slice(-1), [0]);
    return new Float32Array(await readOnce(gpu, state.logits, config.vocabSize * 4));
  } finally {
    kv.release(0);
  }
}
