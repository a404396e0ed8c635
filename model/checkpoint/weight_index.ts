/**
 * Which files of a folder hold the weights.
 *
 * Knows the names that Transformers, AutoGPTQ and GPTQModel give them, and the index that lists the
 * shards of a large model. Knows no tensor's meaning.
 */

import { join } from "node:path";
import type { CheckpointError } from "./error.ts";
import { quote, unreadable, wrong } from "./report.ts";
import { readSafetensorsHeader, type TensorInfo } from "./safetensors.ts";
import { Settings } from "./settings.ts";
import { openFile, readJson, WeightFile } from "./weight_file.ts";

export interface Weights {
  /** By path. */
  files: Map<string, WeightFile>;
  /** By name, from all files. */
  tensors: Map<string, TensorInfo>;
}

/**
 * Opens the weights of `dir` and reads their headers.
 *
 * The first name that exists wins, whatever else lies in the folder: for each of `baseNames` in turn
 * the single file, then the index of its shards.
 *
 * @throws {CheckpointError} for a missing, malformed or contradictory file; none stays open
 */
export async function openWeights(dir: string, baseNames: readonly string[]): Promise<Weights> {
  const weights: Weights = { files: new Map(), tensors: new Map() };
  try {
    for (const { single, index } of weightCandidates(baseNames)) {
      if (await addFile(weights, join(dir, single))) return weights;
      const path = join(dir, index);
      const json = await readJson(path);
      if (json === undefined) continue;
      await addShards(weights, dir, path, readWeightMap(json, path));
      return weights;
    }
    throw await nothingFound(dir, baseNames);
  } catch (error) {
    closeWeights(weights);
    throw error;
  }
}

/** Where weights may be, in the order in which they are looked for: one file, or an index of some. */
export function weightCandidates(
  baseNames: readonly string[],
): { single: string; index: string }[] {
  return [...new Set(baseNames)].map((name) => ({
    single: `${name}.safetensors`,
    index: `${name}.safetensors.index.json`,
  }));
}

export function closeWeights({ files }: Weights): void {
  for (const file of files.values()) file.close();
  files.clear();
}

/** Whether a name stays inside its folder. */
export function isPlainFileName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\\\0]/.test(name);
}

/** Adds one file and its tensors; false when there is none. */
async function addFile({ files, tensors }: Weights, path: string): Promise<boolean> {
  const file = await openFile(path);
  if (file === undefined) return false;
  files.set(path, new WeightFile(path, file));
  for (const [name, tensor] of await readSafetensorsHeader(file, path)) {
    const twin = tensors.get(name);
    if (twin !== undefined) {
      throw wrong(path, `tensor ${quote(name)}`, "in one shard only", `the same in ${twin.path}`);
    }
    tensors.set(name, tensor);
  }
  return true;
}

/** Tensor name to shard name. @throws {CheckpointError} for names that are no plain files */
export function readWeightMap(json: unknown, index: string): Map<string, string> {
  const entries = new Settings(json, index).object("weight_map")?.entries() ?? [];
  if (entries.length === 0) {
    throw wrong(index, '"weight_map"', "an object that names each tensor's file", "nothing");
  }
  return new Map(entries.map(([name, shard]) => {
    if (typeof shard === "string" && isPlainFileName(shard)) return [name, shard];
    const expected = "the plain name of a file in this folder";
    throw wrong(index, `the shard of tensor ${quote(name)}`, expected, quote(shard));
  }));
}

/** Index and shards must tell the same: each tensor in the shard that the index names. */
async function addShards(
  weights: Weights,
  dir: string,
  index: string,
  weightMap: Map<string, string>,
): Promise<void> {
  for (const shard of new Set(weightMap.values())) {
    if (await addFile(weights, join(dir, shard))) continue;
    throw wrong(index, `the shard ${quote(shard)}`, "in the same folder", "no such file");
  }
  for (const [name, shard] of weightMap) {
    const found = weights.tensors.get(name)?.path;
    if (found === join(dir, shard)) continue;
    throw wrong(index, `tensor ${quote(name)}`, `in ${shard}`, found ?? "it in no shard");
  }
  for (const { name, path } of weights.tensors.values()) {
    if (weightMap.has(name)) continue;
    throw wrong(index, `tensor ${quote(name)} of ${path}`, "listed", "nothing");
  }
}

async function nothingFound(dir: string, baseNames: readonly string[]): Promise<CheckpointError> {
  const others: string[] = [];
  try {
    for await (const { name } of Deno.readDir(dir)) {
      if (/\.(safetensors|bin|pt|gguf)$/.test(name)) others.push(quote(name));
    }
  } catch (error) {
    return unreadable(dir, error);
  }
  const expected = [...new Set(baseNames)].map((name) => `${name}.safetensors`).join(" or ");
  const found = others.length === 0 ? "no such file" : `only ${others.sort().join(", ")}`;
  return wrong(dir, "the weights", `in ${expected} (or its .index.json and shards)`, found);
}
