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
// are whole numbers of 47 bits: their sums do not depend on the order in which threads add them, so
// the same tokens are kept every time.
override VOCAB: u32;

const THREADS = 256u;
const PER_THREAD = 8u;
const BIN_WORDS = 4096u; // 2048 bins of (high 31 bits, low 16 bits)
const TIES = 2048u; // in the last pass of 1024 bins: where the number of tokens in each follows

// An op is kind * 4 + digit for the passes of a select; END, MEAN, FLOOR and APPLY stand alone.
const END = 0u;
const MEAN = 1u; // sums what the mean surprise follows from
const FLOOR = 2u; // min-p: a matter for `narrow` alone
const TOP_K = 1u;
const TYPICAL = 3u;
const APPLY = 15u; // removes what typical-p found

struct Truncation { // as in narrow.wgsl
  program: array<u32, 2>,
  drop: vec2<u32>,
  rest: vec2<u32>,
  top_k: u32,
  reach: f32,
  scale: u32, // log2(e) / temperature: its first 32 bits,
  scale_shift: i32, // and 129 - their exponent
}

@group(0) @binding(0) var<storage, read> rows: array<Truncation>; // (rows)
@group(0) @binding(1) var<storage, read> summaries: array<Summary>; // (rows)
@group(0) @binding(2) var<storage, read> cuts: array<Cut>; // (rows)
@group(0) @binding(3) var<storage, read> powers: array<u32, 256>; // 2^(31 - i / 256)
@group(0) @binding(4) var<storage, read_write> scores: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(5) var<storage, read_write> histogram: array<atomic<u32>>; // (rows, BIN_WORDS)

var<workgroup> bins: array<atomic<u32>, BIN_WORDS>;

// A float as a multiple of 2^(exponent - 156), where `exponent` is no less than its own.
fn fixed_point(bits: u32, exponent: u32) -> i32 {
  let mantissa = ((bits & 0x7fffffu) | 0x800000u) << 6u;
  let value = i32(mantissa >> min(exponent - ((bits >> 23u) & 255u), 31u));
  return select(value, -value, bits >= 0x80000000u);
}

// log2(largest probability / probability), times 2^26: 64 octaves, the last one for all below.
// The difference of the scores keeps 6 bits more than it would as a float.
fn octaves_down(bits: u32, largest: u32, row: u32) -> u32 {
  let exponent = max((bits >> 23u) & 255u, (largest >> 23u) & 255u);
  let difference = u32(fixed_point(largest, exponent) - fixed_point(bits, exponent));
  let zeros = countLeadingZeros(difference);
  let product = multiply(difference << (zeros & 31u), rows[row].scale).y;
  let shift = rows[row].scale_shift + i32(zeros) - i32(exponent);
  if (difference == 0u || shift >= 32) {
    return 0u;
  }
  if (shift > 0) {
    return ((product >> u32(shift - 1)) + 1u) >> 1u;
  }
  if (shift == 0) {
    return product;
  }
  return select(0xffffffffu, product << 1u, shift == -1 && product < 0x80000000u);
}

// 2^-octaves / 2^exponent as a fraction of 47 bits: (31 bits, 16 bits). The exponent is such that
// the fractions of a row add up to at most 1.
fn probability(octaves: u32, exponent: u32) -> vec2<u32> {
  let power = powers[(octaves >> 18u) & 255u];
  let x = f32(octaves & 0x3ffffu) * 1.0328852e-8; // ln 2 / 2^26; at most 0.0028
  let lost = x * (1.0 - x * (0.5 - x * 0.16666667)); // 1 - exp(-x)
  let value = power - multiply(power, u32(lost * 4294967296.0)).y;
  let shift = (octaves >> 26u) + exponent;
  if (shift < 16u) {
    return vec2(value >> shift, (value << (16u - shift)) & 0xffffu);
  }
  let below = select(0u, value >> (shift - 16u), shift < 48u);
  return vec2(below >> 16u, below & 0xffffu);
}

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
    octaves = octaves_down(bits, bitcast<u32>(summaries[row].largest), row);
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
  let exponent = u32(summaries[row].log_sum * 1.442695 + 0.01) + 1u;
  let weight = probability(octaves, exponent);
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
  let op = (rows[row].program[cut.step / 8u] >> (4u * (cut.step % 8u))) & 15u;
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
