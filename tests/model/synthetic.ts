/** Small synthetic checkpoints in temporary folders, for the tests that read them back. */
import { join } from "node:path";
import { type SynthOptions, writeSynthetic } from "../../model/synth.ts";
import { readSafetensors, type Tensor } from "../safetensors.ts";

export const OPTIONS: SynthOptions = {
  shape: { hiddenSize: 192, layers: 2, heads: 3, vocabSize: 512 },
  bits: 4,
  groupSize: 128,
  actOrder: true,
  seed: 1,
  tokenizer: false,
};

/** Claire's branches, with the groups of 192 and of 768 inputs. */
export const BRANCHES = [
  { bits: 4, groupSize: 128, groups: [2, 6] },
  { bits: 4, groupSize: 64, groups: [3, 12] },
  { bits: 4, groupSize: 32, groups: [6, 24] },
  { bits: 8, groupSize: 0, groups: [1, 1] },
  { bits: 8, groupSize: 128, groups: [2, 6] },
  { bits: 8, groupSize: 32, groups: [6, 24] },
] as const;

/** Writes a checkpoint, runs `body` on its folder and removes it. */
export async function withSynthetic(
  options: Partial<SynthOptions>,
  body: (dir: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await writeSynthetic(dir, { ...OPTIONS, ...options });
    await body(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Every tensor of every file in the folder. */
export async function readAll(dir: string): Promise<Map<string, Tensor>> {
  const tensors = new Map<string, Tensor>();
  for (const { name } of Deno.readDirSync(dir)) {
    if (!name.endsWith(".safetensors")) continue;
    for (const entry of await readSafetensors(join(dir, name))) tensors.set(...entry);
  }
  return tensors;
}
