// AutoGPTQ's weight layout into ours, for the rows of qweight that lie in the staged chunk.
//
//   theirs: (IN * BITS / 32, OUT) words, each holding 32 / BITS inputs of one output
//   ours:   (outputs, IN * BITS / 32) words, inputs sorted by group (act-order folded away),
//           so that one thread reads 16 bytes of one output at a time
//
// A 4-bit word holds inputs 0..3 in the low nibbles of its bytes and 4..7 in the high ones: two
// masks give two vectors of consecutive inputs. An 8-bit value is stored less 128, since the integer
// products take signed bytes. The sorted inputs of one word come from anywhere
// in the file, so each chunk adds the ones it holds.
override BITS: u32;
override IN: u32;
override OUT: u32;

struct Chunk {
  first_row: u32, // of qweight, in the staged chunk
  rows: u32,
  first_output: u32, // of the slice being filled
  outputs: u32,
}

@group(0) @binding(0) var<storage, read> staged: array<u32>; // (rows, OUT)
@group(0) @binding(1) var<storage, read> perm: array<u32>; // (IN): source of each sorted input
@group(0) @binding(2) var<storage, read> columns: array<u32>; // (OUT): source of each output
@group(0) @binding(3) var<storage, read_write> weight: array<u32>; // (outputs, IN * BITS / 32)
@group(0) @binding(4) var<uniform> chunk: Chunk;

override PER_WORD: u32 = 32u / BITS;
override WORDS: u32 = IN / PER_WORD;

fn shift_of(i: u32) -> u32 {
  if (BITS == 8u) {
    return 8u * i;
  }
  return 8u * (i % 4u) + 4u * (i / 4u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let output = id.x;
  let word = id.y;
  if (output >= chunk.outputs) {
    return;
  }
  let column = columns[chunk.first_output + output];
  let mask = (1u << BITS) - 1u;
  var packed = 0u;
  for (var i = 0u; i < PER_WORD; i++) {
    let input = perm[word * PER_WORD + i];
    let row = input / PER_WORD;
    if (row >= chunk.first_row && row < chunk.first_row + chunk.rows) {
      let theirs = staged[(row - chunk.first_row) * OUT + column];
      let value = (theirs >> (BITS * (input % PER_WORD))) & mask;
      packed |= select(value, value ^ 0x80u, BITS == 8u) << shift_of(i);
    }
  }
  weight[output * WORDS + word] |= packed;
}
