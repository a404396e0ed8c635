/**
 * Which of a repository's files Clairon needs.
 *
 * Knows the small files by name, and finds the weights as `checkpoint.ts` would look for them in a
 * folder. Knows nothing of how files get there.
 */
import { join } from "node:path";
import { QUANTIZATION_FILES, readCheckpointSettings } from "../checkpoint/checkpoint.ts";
import { CheckpointError } from "../checkpoint/error.ts";
import { readJson } from "../checkpoint/weight_file.ts";
import { readWeightMap, weightCandidates } from "../checkpoint/weight_index.ts";
import { sizeOf } from "./store.ts";

/** What says how the weights are to be read, and which they are. */
export const SETTINGS_FILES: readonly string[] = ["config.json", ...QUANTIZATION_FILES];

/** The text side; the last three are for other programs that open the same folder. */
export const TEXT_FILES: readonly string[] = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "generation_config.json",
];

/**
 * The weights of the model whose settings are in `folder`: one file, or the index of its shards.
 *
 * @param names the files that there are to choose from
 * @throws {CheckpointError} for a model that Clairon does not run, before its weights are fetched
 */
export async function chooseWeights(
  folder: string,
  names: ReadonlySet<string>,
): Promise<{ single: string } | { index: string }> {
  const candidates = weightCandidates((await readCheckpointSettings(folder)).baseNames);
  for (const { single, index } of candidates) {
    if (names.has(single)) return { single };
    if (names.has(index)) return { index };
  }
  const expected = candidates.map(({ single }) => single).join(" or ");
  const others = [...names].filter((name) => /\.(safetensors|bin|pt|gguf)$/.test(name)).sort();
  throw new CheckpointError(
    `The weights should be in ${expected} (or its .index.json and shards), found ` +
      `${others.length > 0 ? `only ${others.join(", ")}` : "no such file"}.`,
  );
}

/** The shards that an index names. @throws {CheckpointError} for an index that is none */
export async function shardsOf(folder: string, index: string): Promise<string[]> {
  const path = join(folder, index);
  return [...new Set(readWeightMap(await readJson(path), path).values())];
}

/** Whether the folder holds all that it takes to run the model. */
export async function isComplete(folder: string): Promise<boolean> {
  try {
    const names = new Set<string>();
    for await (const { name } of Deno.readDir(folder)) names.add(name);
    const weights = await chooseWeights(folder, names);
    const files = "single" in weights ? [weights.single] : await shardsOf(folder, weights.index);
    const sizes = await Promise.all(files.map((name) => sizeOf(join(folder, name))));
    return sizes.every((size) => size !== undefined);
  } catch {
    return false;
  }
}
