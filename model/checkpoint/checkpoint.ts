/**
 * A folder with a quantised Falcon, opened: its settings, and its tensors as ranges of bytes.
 *
 * Knows which files make a checkpoint and reads any part of them through memory that the caller
 * reuses. Knows neither which tensors a Falcon needs (`falcon_tensors.ts`) nor where bytes go.
 */

import { join } from "node:path";
import { type FalconConfig, parseFalconConfig } from "../config.ts";
import { parseQuantization, type Quantization } from "./quantization.ts";
import { quote, unreadable, wrong } from "./report.ts";
import type { TensorInfo } from "./safetensors.ts";
import { Settings } from "./settings.ts";
import { openFile, readJson } from "./weight_file.ts";
import { closeWeights, isPlainFileName, openWeights, type Weights } from "./weight_index.ts";

export interface Checkpoint {
  dir: string;
  config: FalconConfig;
  quantization: Quantization;
  /** All tensors of all files, by name. */
  tensors: Map<string, TensorInfo>;
  tokenizerPath: string | undefined;
  /** A whole tensor, for small ones. */
  read(tensor: TensorInfo): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * The bytes `start` to `end` of a tensor (all of it by default), piece by piece.
   *
   * Each piece is a view into `chunk`, valid until the next one is asked for, a multiple of 4 long,
   * and as long as `chunk` allows; `offset` says where in the tensor it begins.
   *
   * @throws {RangeError} for a range outside the tensor or not a multiple of 4 long
   * @throws {CheckpointError} when the file was cut since it was opened
   */
  chunks(
    tensor: TensorInfo,
    chunk: Uint8Array<ArrayBuffer>,
    start?: number,
    end?: number,
  ): AsyncGenerator<{ bytes: Uint8Array<ArrayBuffer>; offset: number }>;
  close(): void;
}

/** WebGPU copies in units of this many bytes. */
const COPY_UNIT = 4;

/**
 * Opens the checkpoint in a folder; every header is checked, no weight is read.
 *
 * @throws {CheckpointError} one sentence naming what is missing, malformed or not supported
 */
export async function openCheckpoint(dir: string): Promise<Checkpoint> {
  const { config, quantization, baseNames } = await readCheckpointSettings(dir);
  const tokenizerPath = await findTokenizer(dir);
  const weights = await openWeights(dir, baseNames);
  return new OpenCheckpoint(dir, config, quantization, weights, tokenizerPath);
}

export interface CheckpointSettings {
  config: FalconConfig;
  quantization: Quantization;
  /** File names of weights without their ending, in the order in which they are looked for. */
  baseNames: string[];
}

/** The settings of a checkpoint whose weights may not be there yet. @throws {CheckpointError} */
export async function readCheckpointSettings(dir: string): Promise<CheckpointSettings> {
  await requireFolder(dir);
  const configPath = join(dir, "config.json");
  const configJson = await readJson(configPath);
  if (configJson === undefined) {
    throw wrong(dir, "a checkpoint's folder", "one that holds config.json", "no such file");
  }
  const config = parseFalconConfig(configJson, configPath);
  const places = await quantizationPlaces(dir, new Settings(configJson, configPath));
  const quantization = parseQuantization(places, dir);
  return { config, quantization, baseNames: weightBaseNames(places, quantization) };
}

class OpenCheckpoint implements Checkpoint {
  readonly #weights: Weights;

  constructor(
    readonly dir: string,
    readonly config: FalconConfig,
    readonly quantization: Quantization,
    weights: Weights,
    readonly tokenizerPath: string | undefined,
  ) {
    this.#weights = weights;
  }

  get tensors(): Map<string, TensorInfo> {
    return this.#weights.tensors;
  }

  async read(tensor: TensorInfo): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(tensor.bytes);
    await this.#file(tensor).read(tensor.offset, bytes);
    return bytes;
  }

  async *chunks(
    tensor: TensorInfo,
    chunk: Uint8Array<ArrayBuffer>,
    start = 0,
    end = tensor.bytes,
  ): AsyncGenerator<{ bytes: Uint8Array<ArrayBuffer>; offset: number }> {
    const step = chunk.length - chunk.length % COPY_UNIT;
    if (step === 0) throw new RangeError(`A chunk needs at least ${COPY_UNIT} bytes.`);
    if (!(0 <= start && start <= end && end <= tensor.bytes) || (end - start) % COPY_UNIT !== 0) {
      throw new RangeError(
        `Bytes ${start} to ${end} of tensor ${
          quote(tensor.name)
        } (${tensor.bytes} bytes) should be a range of a multiple of ${COPY_UNIT} bytes.`,
      );
    }
    for (let offset = start; offset < end; offset += step) {
      const bytes = chunk.subarray(0, Math.min(step, end - offset));
      await this.#file(tensor).read(tensor.offset + offset, bytes);
      yield { bytes, offset };
    }
  }

  close(): void {
    closeWeights(this.#weights);
  }

  #file(tensor: TensorInfo) {
    const file = this.#weights.files.get(tensor.path);
    if (file === undefined) throw wrong(tensor.path, "the file", "open", "a closed one");
    return file;
  }
}

async function requireFolder(dir: string): Promise<void> {
  const expected = "a folder that holds a GPTQ checkpoint";
  let found: Deno.FileInfo;
  try {
    found = await Deno.stat(dir);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw unreadable(dir, error);
    const isHubName = /^[\w.-]+\/[\w.-]+$/.test(dir);
    const cure = isHubName
      ? "nothing there (for a Hugging Face name, give the folder it was downloaded to)"
      : "nothing there";
    throw wrong(quote(dir), "the model", expected, cure);
  }
  if (!found.isDirectory) throw wrong(dir, "the model", expected, "a file (give its folder)");
}

/** Files that may hold quantisation settings beside config.json, the most trusted first. */
export const QUANTIZATION_FILES = ["quantize_config.json", "quant_config.json"];

/** Every place that holds quantisation settings, the most trusted first. */
async function quantizationPlaces(dir: string, config: Settings): Promise<Settings[]> {
  const inConfig = config.object("quantization_config");
  const places = inConfig === undefined ? [] : [inConfig];
  for (const name of QUANTIZATION_FILES) {
    const path = join(dir, name);
    const json = await readJson(path);
    if (json !== undefined) places.push(new Settings(json, path));
  }
  return places;
}

function weightBaseNames(places: Settings[], { bits, groupSize }: Quantization): string[] {
  const named = places.flatMap((place) => {
    const name = place.text("model_file_base_name");
    if (name === undefined || isPlainFileName(name)) return name ?? [];
    throw wrong(place.file, '"model_file_base_name"', "a plain file name", quote(name));
  });
  return ["model", ...named, `gptq_model-${bits}bit-${groupSize === 0 ? -1 : groupSize}g`];
}

/** Where the folder's tokenizer.json is, if it has one. @throws {CheckpointError} if it is unreadable */
export async function findTokenizer(dir: string): Promise<string | undefined> {
  const path = join(dir, "tokenizer.json");
  const file = await openFile(path);
  file?.close();
  return file === undefined ? undefined : path;
}
