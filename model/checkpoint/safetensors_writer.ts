/**
 * Tensors written as safetensors files, in one file or in shards with an index.
 *
 * Knows the header, the order of tensors in a file and the names of shards that Hugging Face uses.
 * Knows nothing of values: whoever calls hands them over piece by piece, so memory stays flat.
 * Format: https://github.com/huggingface/safetensors#format
 */

import { join } from "node:path";

/** Bytes of one element, for the dtypes we write. */
const DTYPE_BYTES = { I32: 4, F16: 2 } as const;

export interface NewTensor {
  name: string;
  dtype: keyof typeof DTYPE_BYTES;
  shape: readonly number[];
  /**
   * The bytes from the first to the last, little-endian. A piece is written before the next one is
   * asked for, so pieces may share memory.
   */
  pieces(): Iterable<Uint8Array<ArrayBuffer>>;
}

/** The tensors that share a file. */
export interface Shard {
  file: string;
  tensors: NewTensor[];
}

export interface WriteProgress {
  /** Called after each piece with its length in bytes. */
  onBytes?: (bytes: number) => void;
  /** Stops between two pieces; what was written so far stays behind. */
  signal?: AbortSignal | undefined;
}

const LENGTH_BYTES = 8;
/** The data begins at a multiple of this many bytes, so that elements are aligned. */
const ALIGNMENT = 8;

export function tensorBytes({ dtype, shape }: NewTensor): number {
  return shape.reduce((product, dimension) => product * dimension, DTYPE_BYTES[dtype]);
}

/**
 * Deals the tensors out to files of at most `largest` bytes of data, in the given order, as
 * Hugging Face does; a tensor larger than that has a file of its own.
 */
export function planShards(tensors: readonly NewTensor[], largest = Infinity): Shard[] {
  const shards: NewTensor[][] = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor);
    if (filled > 0 && filled + bytes > largest) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(tensor);
    filled += bytes;
  }
  const number = (n: number) => `${n}`.padStart(5, "0");
  return shards.map((tensors, i) => ({
    file: shards.length === 1
      ? "model.safetensors"
      : `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`,
    tensors: inFileOrder(tensors),
  }));
}

/** The bytes before the data: the header's length and the header, padded with spaces. */
export function safetensorsHeader(tensors: readonly NewTensor[]): Uint8Array<ArrayBuffer> {
  const entries: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let offset = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    const end = offset + tensorBytes(tensor);
    entries[name] = { dtype, shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(entries));
  const length = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const header = new Uint8Array(LENGTH_BYTES + length).fill(" ".charCodeAt(0));
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, LENGTH_BYTES);
  return header;
}

/**
 * Writes the shards, and the index if there are several, into an existing folder.
 *
 * @throws {RangeError} when a tensor's pieces are not as long as its shape says
 * @throws {Deno.errors.AlreadyExists} rather than overwrite a file
 * @throws the reason of `progress.signal` when it is aborted
 */
export async function writeShards(
  dir: string,
  shards: readonly Shard[],
  progress: WriteProgress = {},
): Promise<void> {
  for (const { file, tensors } of shards) {
    await writeFile(join(dir, file), tensors, progress);
  }
  if (shards.length > 1) {
    const index = JSON.stringify(shardIndex(shards), null, 2) + "\n";
    await Deno.writeTextFile(join(dir, "model.safetensors.index.json"), index, { createNew: true });
  }
}

/** The content of model.safetensors.index.json: which file holds which tensor. */
export function shardIndex(shards: readonly Shard[]): unknown {
  const all = shards.flatMap(({ file, tensors }) => tensors.map((tensor) => ({ file, tensor })));
  all.sort((a, b) => byName(a.tensor, b.tensor));
  return {
    metadata: { total_size: all.reduce((sum, { tensor }) => sum + tensorBytes(tensor), 0) },
    weight_map: Object.fromEntries(all.map(({ file, tensor }) => [tensor.name, file])),
  };
}

/** Widest dtype first, so that all elements are aligned; then by name. */
function inFileOrder(tensors: NewTensor[]): NewTensor[] {
  const width = (tensor: NewTensor) => DTYPE_BYTES[tensor.dtype];
  return tensors.toSorted((a, b) => width(b) - width(a) || byName(a, b));
}

function byName(a: NewTensor, b: NewTensor): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

async function writeFile(
  path: string,
  tensors: readonly NewTensor[],
  { onBytes, signal }: WriteProgress,
): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  await writeAll(file, safetensorsHeader(tensors));
  for (const tensor of tensors) {
    let written = 0;
    for (const piece of tensor.pieces()) {
      signal?.throwIfAborted();
      await writeAll(file, piece);
      written += piece.length;
      onBytes?.(piece.length);
    }
    if (written !== tensorBytes(tensor)) {
      throw new RangeError(
        `Tensor ${tensor.name} should have ${tensorBytes(tensor)} bytes, found ${written}.`,
      );
    }
  }
}

/** One call may write a part only. */
async function writeAll(file: Deno.FsFile, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  let written = 0;
  while (written < bytes.length) written += await file.write(bytes.subarray(written));
}
