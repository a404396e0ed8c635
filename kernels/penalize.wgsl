// scores = biased and penalised logits, and of each chunk of the vocabulary what its two softmaxes need:
// one of the untouched logits, one of the scores at the row's temperature.
override VOCAB: u32;
override CHUNKS: u32;

const THREADS = 256u;
const PER_THREAD = 8u;
const POSITIVE_INFINITY = 0x7f800000u;

struct Penalties {
  slot: u32,
  repetition: f32,
  frequency: f32, // already over the length where the whole context is counted
  presence: f32,
  whole_context: u32,
  temperature: f32,
  biased: u32, // 1 where the slot's biases are this row's
}

@group(0) @binding(0) var<storage, read> rows: array<Penalties>; // (rows)
@group(0) @binding(1) var<storage, read> logits: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(2) var<storage, read> counts: array<u32>; // (slots, VOCAB), prompt << 16 | generated
@group(0) @binding(3) var<storage, read> biases: array<f32>; // (slots, VOCAB)
@group(0) @binding(4) var<storage, read_write> scores: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(5) var<storage, read_write> parts: array<Part>; // (rows, CHUNKS)

var<workgroup> shared_parts: array<Part, THREADS>;

fn merge(a: Part, b: Part, temperature: f32) -> Part {
  let b_wins = b.scores.largest > a.scores.largest ||
    (b.scores.largest == a.scores.largest && b.best < a.best);
  return Part(
    join(a.logits, b.logits, 1.0),
    join(a.scores, b.scores, temperature),
    select(a.best, b.best, b_wins),
    a.invalid | b.invalid,
  );
}

fn penalised(logit: f32, count: u32, row: Penalties) -> f32 {
  let generated = count & 0xffffu;
  var score = logit;
  if (count != 0u && row.repetition != 1.0) {
    score = select(score / row.repetition, score * row.repetition, score < 0.0);
  }
  let counted = generated + select(0u, count >> 16u, row.whole_context == 1u);
  score -= row.frequency * f32(counted);
  if (generated != 0u) {
    score -= row.presence;
  }
  return score;
}

// Bits, not comparisons: a compiler may assume that no number is NaN.
fn is_invalid(bits: u32) -> bool {
  return (bits & 0x7fffffffu) >= POSITIVE_INFINITY && bits != NEGATIVE_INFINITY;
}

fn visit(row: u32, id: u32) -> Part {
  let at = row * VOCAB + id;
  let penalties = rows[row];
  let bits = logits[at];
  var part = Part(Peak(LOWEST, 0.0), Peak(LOWEST, 0.0), id, 0u);
  scores[at] = NEGATIVE_INFINITY;
  if (is_invalid(bits)) {
    part.invalid = 1u;
  } else if (bits != NEGATIVE_INFINITY) {
    let logit = bitcast<f32>(bits);
    let in_slot = penalties.slot * VOCAB + id;
    var biased = logit;
    if (penalties.biased == 1u) {
      biased += biases[in_slot];
    }
    let score = penalised(biased, counts[in_slot], penalties);
    let score_bits = bitcast<u32>(score);
    part.logits = Peak(logit, 1.0);
    if (is_invalid(score_bits)) {
      part.invalid = 1u;
    } else if (score_bits != NEGATIVE_INFINITY) {
      part.scores = Peak(score, 1.0);
      scores[at] = score_bits;
    }
  }
  return part;
}

// One workgroup a chunk, chunks in x and rows in y.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  let temperature = rows[row].temperature;
  let first = group.x * THREADS * PER_THREAD + thread;
  var part = Part(Peak(LOWEST, 0.0), Peak(LOWEST, 0.0), 0xffffffffu, 0u);
  for (var i = 0u; i < PER_THREAD; i++) {
    let id = first + i * THREADS;
    if (id < VOCAB) {
      part = merge(part, visit(row, id), temperature);
    }
  }
  shared_parts[thread] = part;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      shared_parts[thread] = merge(shared_parts[thread], shared_parts[thread + half], temperature);
    }
  }
  if (thread == 0u) {
    parts[row * CHUNKS + group.x] = shared_parts[0];
  }
}
