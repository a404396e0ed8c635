/**
 * The header of a safetensors file: where each named tensor lies.
 *
 * Knows the format (8 bytes with the header's length, a JSON header, then the data) and accepts only
 * files that hold nothing else: tensors one after the other from the first byte of data to the last
 * of the file, without holes or overlaps, each as long as its shape and dtype say.
 * Knows nothing of models. Format: https://github.com/huggingface/safetensors#format
 */

import { type HeaderValue, parseHeaderJson } from "./header_json.ts";
import { quote, shapeText, wrong } from "./report.ts";
import { readExactly } from "./weight_file.ts";

/** Bits of one element. */
const DTYPE_BITS = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E5M2FNUZ: 8,
  F8_E4M3FNUZ: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  I64: 64,
  U64: 64,
  F64: 64,
  C64: 64,
} as const;

export type Dtype = keyof typeof DTYPE_BITS;

export interface TensorInfo {
  name: string;
  dtype: Dtype;
  shape: number[];
  /** The file it lies in. */
  path: string;
  /** Of its first byte, from the start of the file. */
  offset: number;
  bytes: number;
}

/** The reference implementation's limit: a header cannot make us allocate more than this. */
const LONGEST_HEADER = 100_000_000;
const LENGTH_BYTES = 8;
const OPENING_BRACE = "{".charCodeAt(0);
const METADATA = "__metadata__";

/**
 * Reads and checks the header of an open file.
 *
 * @returns tensors by name, in the order of their bytes
 * @throws {CheckpointError} for anything that the format does not allow
 */
export async function readSafetensorsHeader(
  file: Deno.FsFile,
  path: string,
): Promise<Map<string, TensorInfo>> {
  const { size } = await file.stat();
  if (size < LENGTH_BYTES) {
    throw wrong(path, "a safetensors file", `at least ${LENGTH_BYTES} bytes`, `${size}`);
  }
  const prefix = await readExactly(file, path, 0, LENGTH_BYTES);
  if (new TextDecoder().decode(prefix) === "version ") {
    throw wrong(path, "this", "a safetensors file", "a Git LFS pointer (fetch the file itself)");
  }
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > BigInt(LONGEST_HEADER)) {
    throw wrong(path, "the header length", `at most ${LONGEST_HEADER} bytes`, `${length}`);
  }
  const dataStart = LENGTH_BYTES + Number(length);
  if (dataStart > size) {
    throw wrong(path, "the file", `at least ${dataStart} bytes (its header)`, `${size}`);
  }
  const header = await readExactly(file, path, LENGTH_BYTES, Number(length));
  const tensors = parseHeader(header, path).map(([name, entry]) =>
    readEntry(name, entry, dataStart, path)
  );
  checkLayout(tensors, dataStart, size, path);
  return new Map(tensors.map((tensor) => [tensor.name, tensor]));
}

/** The header's tensor entries, metadata checked and left out. */
function parseHeader(bytes: Uint8Array, path: string): [string, HeaderValue][] {
  if (bytes[0] !== OPENING_BRACE) {
    const found = bytes.length === 0 ? "an empty header" : `byte ${bytes[0]}`;
    throw wrong(path, "the header's first byte", '"{"', found);
  }
  const header = parseObject(decodeUtf8(bytes, path), path);
  const metadata = header.get(METADATA);
  if (metadata !== undefined) {
    const isText = metadata instanceof Map &&
      [...metadata.values()].every((value) => typeof value === "string");
    if (!isText) throw wrong(path, METADATA, "an object of strings", "another kind of value");
    header.delete(METADATA);
  }
  return [...header];
}

function decodeUtf8(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw wrong(path, "the header", "UTF-8 text", "bytes that are not");
  }
}

function parseObject(text: string, path: string): Map<string, HeaderValue> {
  try {
    const value = parseHeaderJson(text);
    if (value instanceof Map) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw wrong(path, "the header", "strict JSON", `an error: the text ${error.message}`);
  }
  throw wrong(path, "the header", "a JSON object", "another kind of value");
}

function readEntry(
  name: string,
  entry: HeaderValue,
  dataStart: number,
  path: string,
): TensorInfo {
  const tensor = `tensor ${quote(name)}`;
  if (!(entry instanceof Map)) throw wrong(path, tensor, "an object", quote(entry));
  const keys = [...entry.keys()].sort().join(", ");
  if (keys !== "data_offsets, dtype, shape") {
    throw wrong(path, `the keys of ${tensor}`, "data_offsets, dtype, shape", quote(keys));
  }
  const dtype = entry.get("dtype");
  if (!isDtype(dtype)) {
    throw wrong(path, `the dtype of ${tensor}`, "one of safetensors'", quote(dtype));
  }
  const shape = entry.get("shape");
  if (!isNumbers(shape)) {
    throw wrong(path, `the shape of ${tensor}`, "a list of whole numbers", quote(shape));
  }
  const offsets = entry.get("data_offsets");
  if (!isNumbers(offsets) || offsets.length !== 2) {
    throw wrong(path, `the data_offsets of ${tensor}`, "two whole numbers", quote(offsets));
  }
  const [start, end] = offsets as [number, number];
  const bytes = byteLength(shape, DTYPE_BITS[dtype]);
  const described = `${dtype} of shape ${shapeText(shape)}`;
  if (bytes === undefined) {
    throw wrong(path, tensor, "a whole number of bytes below 2^53", described);
  }
  if (end - start !== bytes) {
    const found = `${end - start} (from ${start} to ${end})`;
    throw wrong(path, `the bytes of ${tensor}`, `${bytes} (${described})`, found);
  }
  return { name, dtype, shape, path, offset: dataStart + start, bytes };
}

function isDtype(value: HeaderValue | undefined): value is Dtype {
  return typeof value === "string" && Object.hasOwn(DTYPE_BITS, value);
}

function isNumbers(value: HeaderValue | undefined): value is number[] {
  return Array.isArray(value) && value.every((each) => typeof each === "number");
}

/** undefined where the product leaves the exact range, or where 4-bit values do not fill a byte. */
function byteLength(shape: number[], bits: number): number | undefined {
  let product = bits;
  for (const dimension of shape) {
    product *= dimension;
    if (!Number.isSafeInteger(product)) return undefined;
  }
  return product % 8 === 0 ? product / 8 : undefined;
}

/** Sorts `tensors` by their bytes, which must cover the rest of the file exactly. */
function checkLayout(tensors: TensorInfo[], dataStart: number, size: number, path: string): void {
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let end = dataStart;
  for (const { name, offset, bytes } of tensors) {
    if (offset !== end) {
      const fault = offset > end ? "a hole before it" : "an overlap with the tensor before";
      throw wrong(
        path,
        `tensor ${quote(name)}`,
        `at byte ${end - dataStart} of the data, where the tensor before it ends`,
        `${fault}, at byte ${offset - dataStart}`,
      );
    }
    end += bytes;
  }
  if (end !== size) {
    const fault = size < end ? "the file is cut short" : "something follows the last tensor";
    throw wrong(path, "the file", `${end} bytes long as its header says`, `${size} (${fault})`);
  }
}
