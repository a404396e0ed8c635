/**
 * Safetensors files for the tests: read for the reference, written for rewritten checkpoints.
 *
 * Knows the file format (u64 header length, JSON header, row-major little-endian data) and the float
 * types. Knows no tensor's meaning.
 */

/** One tensor as stored: `dtype` in safetensors' spelling, `bytes` little-endian and row-major. */
export interface Tensor {
  dtype: string;
  shape: number[];
  bytes: Uint8Array<ArrayBuffer>;
}

interface HeaderEntry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** Reads every tensor of one safetensors file: u64 header length, JSON header, data. */
export async function readSafetensors(path: string): Promise<Map<string, Tensor>> {
  using file = await Deno.open(path);
  const lengthBytes = await readAt(file, 0, 8);
  const headerLength = Number(new DataView(lengthBytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(await readAt(file, 8, headerLength)));
  const tensors = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries<HeaderEntry>(header)) {
    if (name === "__metadata__") continue;
    const [start, end] = entry.data_offsets;
    const bytes = await readAt(file, 8 + headerLength + start, end - start);
    tensors.set(name, {
      dtype: entry.dtype,
      shape: entry.shape,
      bytes,
    });
  }
  return tensors;
}

async function readAt(file: Deno.FsFile, offset: number, length: number) {
  await file.seek(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const read = await file.read(bytes.subarray(filled));
    if (read === null) throw new Error(`file ends ${length - filled} bytes early`);
    filled += read;
  }
  return bytes;
}

/** Floating-point values of an F16, BF16 or F32 tensor, without rounding. */
export function floats(tensor: Tensor): Float16Array | Float32Array {
  const { buffer } = tensor.bytes;
  if (tensor.dtype === "F16") return new Float16Array(buffer);
  if (tensor.dtype === "F32") return new Float32Array(buffer);
  if (tensor.dtype !== "BF16") throw new Error(`expected a float tensor, found ${tensor.dtype}`);
  // bf16 is the upper half of a float32.
  return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (half) => half << 16).buffer);
}

/** Values of an I32 tensor. */
export function ints(tensor: Tensor): Int32Array {
  if (tensor.dtype !== "I32") throw new Error(`expected an I32 tensor, found ${tensor.dtype}`);
  return new Int32Array(tensor.bytes.buffer);
}

/**
 * Writes tensors as one file. The header is padded with spaces to a multiple of 8 bytes, and wider
 * types come first, so that every tensor is aligned to its element size.
 */
export async function writeSafetensors(path: string, tensors: Map<string, Tensor>): Promise<void> {
  const entries = [...tensors].sort(([, a], [, b]) => elementSize(b) - elementSize(a));
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let end = 0;
  for (const [name, { dtype, shape, bytes }] of entries) {
    header[name] = { dtype, shape, data_offsets: [end, end += bytes.length] };
  }
  let text = JSON.stringify(header);
  text = text.padEnd(Math.ceil(text.length / 8) * 8);
  const length = new BigUint64Array([BigInt(text.length)]);
  await Deno.writeFile(path, new Blob([length, text, ...entries.map(([, t]) => t.bytes)]).stream());
}

function elementSize({ shape, bytes }: Tensor): number {
  return bytes.length / shape.reduce((product, size) => product * size, 1);
}
