// scores = biased and penalised logits; of each chunk of the vocabulary what its two softmaxes need,
// one of the untouched logits, one of the scores at the row's temperature; and its best tokens.
override VOCAB: u32;
override CHUNKS: u32;

const THREADS = 256u;
const POSITIVE_INFINITY = 0x7f800000u;

@group(0) @binding(0) var<storage, read> rows: array<Penalties>; // (rows)
@group(0) @binding(1) var<storage, read> logits: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(2) var<storage, read> counts: array<u32>; // (slots, VOCAB), prompt << 16 | generated
@group(0) @binding(3) var<storage, read> biases: array<f32>; // (slots, VOCAB)
@group(0) @binding(4) var<storage, read_write> scores: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(5) var<storage, read_write> parts: array<Part>; // (rows, CHUNKS)
@group(0) @binding(6) var<storage, read_write> candidates: array<vec2<u32>>; // (rows, MOST_WANTED, CHUNKS)

var<workgroup> shared_parts: array<Part, THREADS>;
var<workgroup> pairs: array<vec2<u32>, FINALISTS>; // (sort key, id)

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

// Of one token.
struct Seen {
  part: Part,
  key: u32, // 0: it cannot come
}

fn visit(row: u32, id: u32, bits: u32, count: u32, penalties: Penalties) -> Seen {
  var seen = Seen(Part(Peak(LOWEST, 0.0), Peak(LOWEST, 0.0), id, 0u), 0u);
  var score_bits = NEGATIVE_INFINITY;
  if (is_invalid(bits)) {
    seen.part.invalid = 1u;
  } else if (bits != NEGATIVE_INFINITY) {
    let logit = bitcast<f32>(bits);
    var biased = logit;
    if (penalties.biased == 1u) {
      biased += biases[penalties.slot * VOCAB + id];
    }
    let score = penalised(biased, count, penalties);
    score_bits = bitcast<u32>(score);
    seen.part.logits = Peak(logit, 1.0);
    if (is_invalid(score_bits)) {
      seen.part.invalid = 1u;
      score_bits = NEGATIVE_INFINITY;
    } else if (score_bits != NEGATIVE_INFINITY) {
      seen.part.scores = Peak(score, 1.0);
      seen.key = sort_key(score_bits);
    }
  }
  scores[row * VOCAB + id] = score_bits;
  return seen;
}

// One workgroup a chunk, chunks in x and rows in y.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  let penalties = rows[row];
  let first = group.x * TOKENS_PER_CHUNK + thread;
  //LOADS
  var part = Part(Peak(LOWEST, 0.0), Peak(LOWEST, 0.0), 0xffffffffu, 0u);
  //VISITS
  shared_parts[thread] = part;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      shared_parts[thread] = merge(
        shared_parts[thread],
        shared_parts[thread + half],
        penalties.temperature,
      );
    }
  }
  if (thread == 0u) {
    parts[row * CHUNKS + group.x] = shared_parts[0];
  }
  if (penalties.wanted == 0u) {
    return;
  }
  gather_groups(/*KEYS*/, thread);
  if (thread < GROUPS) {
    rank_groups(penalties.wanted, thread);
  }
  let least = workgroupUniformLoad(&threshold);
  //ABOVE
  workgroupBarrier();
  //EQUAL
  workgroupBarrier();
  let count = finalist_count();
  for (var i = thread; i < count; i += THREADS) {
    let rank = rank_of(pairs[i], count);
    if (rank < penalties.wanted) {
      candidates[(row * MOST_WANTED + rank) * CHUNKS + group.x] = pairs[i];
    }
  }
  if (thread >= count && thread < penalties.wanted) {
    candidates[(row * MOST_WANTED + thread) * CHUNKS + group.x] = vec2(0u);
  }
}
