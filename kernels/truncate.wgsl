// One pass of top-k, top-p or typical-p over the scores: a radix select.
//
// Each of the three keeps the tokens on one side of a rank, where the weights of the tokens ranked
// below it, added up, pass a goal:
//
//             rank                     weight       goal
//   top-k     score                    1            number of tokens - k
//   top-p     score                    probability  1 - p
//   typical   |surprise - entropy|     probability  p
//
// The rank is found 11, 11 and 10 bits at a time: this kernel adds the weights of the tokens whose
// leading bits are right to the bin of their next bits, and `narrow` picks the bin. Probabilities
// are whole numbers of 47 bits (`probability.ts`).
override VOCAB: u32;

const THREADS = 256u;
const PER_THREAD = 8u;
const BIN_WORDS = 4096u; // 2048 bins of (high 31 bits, low 16 bits)
const TIES = 2048u; // in the last pass of 1024 bins: where the number of tokens in each follows

@group(0) @binding(0) var<storage, read> rows: array<Truncation>; // (rows)
@group(0) @binding(1) var<storage, read> summaries: array<Summary>; // (rows)
@group(0) @binding(2) var<storage, read> cuts: array<Cut>; // (rows)
@group(0) @binding(3) var<storage, read> powers: array<u32, 256>; // 2^(31 - i / 256)
@group(0) @binding(4) var<storage, read_write> scores: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(5) var<storage, read_write> histogram: array<atomic<u32>>; // (rows, BIN_WORDS)

var<workgroup> bins: array<atomic<u32>, BIN_WORDS>;

fn add_to_bin(bin: u32, weight: vec2<u32>) {
  if (weight.x != 0u) {
    atomicAdd(&bins[2u * bin], weight.x);
  }
  if (weight.y != 0u) {
    atomicAdd(&bins[2u * bin + 1u], weight.y);
  }
}

// Adds a probability to one bin and probability * octaves / 2^32 to another: a pair for each thread
// only so that threads do not wait for each other.
fn add_moment(thread: u32, weight: vec2<u32>, octaves: u32) {
  let product = multiply(weight.x, octaves);
  let low = (product.x >> 16u) + multiply(weight.y, octaves).y;
  add_to_bin(thread, weight);
  add_to_bin(1024u + thread, vec2(product.y + (low >> 16u), low & 0xffffu));
}

fn visit(row: u32, id: u32, op: u32, cut: Cut, thread: u32) {
  let bits = scores[row * VOCAB + id];
  if (is_removed(bits, id, cut)) {
    return;
  }
  let kind = op / 4u;
  let digit = op % 4u;
  var octaves = 0u;
  var rank = sort_key(bits);
  if (kind != TOP_K) {
    let largest = sort_key(bitcast<u32>(summaries[row].largest));
    octaves = octaves_down(rank, largest, rows[row].scale, rows[row].scale_shift);
  }
  if (kind == TYPICAL) {
    // Surprise - entropy: both are the octaves and the mean octaves, and the same constant.
    rank = max(octaves, cut.mean) - min(octaves, cut.mean);
  }
  if (op == APPLY) {
    if (rank > cut.limit) {
      scores[row * VOCAB + id] = NEGATIVE_INFINITY;
    }
    return;
  }
  var bin = rank >> 21u;
  if (digit == 1u) {
    bin = (rank >> 10u) & 2047u;
  } else if (digit == 2u) {
    bin = rank & 1023u;
  }
  let leading_bits = rank >> select(21u, 10u, digit == 2u);
  if (op != MEAN && digit > 0u && leading_bits != cut.prefix) {
    return;
  }
  if (kind == TOP_K) {
    add_to_bin(bin, vec2(0u, 1u));
    return;
  }
  let weight = probability(octaves, exponent_of(summaries[row].log_sum));
  if (op == MEAN) {
    add_moment(thread, weight, octaves);
    return;
  }
  add_to_bin(bin, weight);
  if (digit == 2u) {
    atomicAdd(&bins[TIES + bin], 1u);
  }
}

// One workgroup a chunk, chunks in x and rows in y.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  let cut = cuts[row];
  let op = op_at(rows[row].program, cut.step);
  if (op == END || op == FLOOR) {
    return;
  }
  let first = group.x * THREADS * PER_THREAD + thread;
  for (var i = 0u; i < PER_THREAD; i++) {
    let id = first + i * THREADS;
    if (id < VOCAB) {
      visit(row, id, op, cut, thread);
    }
  }
  workgroupBarrier();
  for (var i = thread; i < BIN_WORDS; i += THREADS) {
    let sum = atomicLoad(&bins[i]);
    if (sum != 0u) {
      atomicAdd(&histogram[row * BIN_WORDS + i], sum);
    }
  }
}
