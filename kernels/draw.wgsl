// Removes what was truncated and lets the tokens left run a race: token i finishes at E_i / p_i
// with E_i exponentially distributed, so it wins with probability p_i.
//
// E_i comes from a counter-based generator, Philox 4x32-10 (Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", 2011), of the seed, the place of the token in the answer and its
// id: nothing else can change what is drawn.
override VOCAB: u32;
override CHUNKS: u32;

const THREADS = 256u;
const PER_THREAD = 8u;

struct Draw {
  seed: vec2<u32>, // low, high
  index: u32, // place in the answer
  temperature: f32, // 0: nothing is drawn
}

@group(0) @binding(0) var<storage, read> rows: array<Draw>; // (rows)
@group(0) @binding(1) var<storage, read> summaries: array<Summary>; // (rows)
@group(0) @binding(2) var<storage, read> cuts: array<Cut>; // (rows)
@group(0) @binding(3) var<storage, read_write> scores: array<u32>; // (rows, VOCAB), bits of f32
@group(0) @binding(4) var<storage, read_write> runners: array<Runner>; // (rows, CHUNKS)

var<workgroup> shared_runners: array<Runner, THREADS>;

fn philox(counter: vec4<u32>, seed: vec2<u32>) -> vec4<u32> {
  var state = counter;
  var key = seed;
  for (var i = 0u; i < 10u; i++) {
    let a = multiply(0xd2511f53u, state.x);
    let b = multiply(0xcd9e8d57u, state.z);
    state = vec4(b.y ^ state.y ^ key.x, b.x, a.y ^ state.w ^ key.y, a.x);
    key += vec2(0x9e3779b9u, 0xbb67ae85u);
  }
  return state;
}

// log(-log(1 - u)) for the u in (0, 1) with these 64 bits. Near 0 all of them count: the unlikely
// tokens win there.
fn log_exponential(high: u32, low: u32) -> f32 {
  if (high >= 0x80000000u) {
    return log(-log((f32(~high) + 0.5) * 2.3283064e-10)); // 2^-32
  }
  let u = f32(high) * 2.3283064e-10 + (f32(low) + 0.5) * 5.4210109e-20; // 2^-64
  if (u < 0.03125) {
    return log(u + u * u * (0.5 + u * (0.33333333 + u * 0.25)));
  }
  return log(-log(1.0 - u));
}

fn faster(a: Runner, b: Runner) -> Runner {
  let b_wins = b.speed > a.speed || (b.speed == a.speed && b.id < a.id);
  return Runner(select(a.speed, b.speed, b_wins), select(a.id, b.id, b_wins), a.sum + b.sum);
}

fn visit(row: u32, id: u32) -> Runner {
  let at = row * VOCAB + id;
  let bits = scores[at];
  if (is_removed(bits, id, cuts[row])) {
    scores[at] = NEGATIVE_INFINITY;
    return Runner(LOWEST, id, 0.0);
  }
  let logit = (bitcast<f32>(bits) - summaries[row].largest) / rows[row].temperature;
  let random = philox(vec4(id, rows[row].index, 0u, 0u), rows[row].seed);
  return Runner(logit - log_exponential(random.x, random.y), id, exp(logit));
}

// One workgroup a chunk, chunks in x and rows in y.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  if (rows[row].temperature == 0.0) {
    return;
  }
  let first = group.x * THREADS * PER_THREAD + thread;
  var runner = Runner(LOWEST, 0xffffffffu, 0.0);
  for (var i = 0u; i < PER_THREAD; i++) {
    let id = first + i * THREADS;
    if (id < VOCAB) {
      runner = faster(runner, visit(row, id));
    }
  }
  shared_runners[thread] = runner;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      shared_runners[thread] = faster(shared_runners[thread], shared_runners[thread + half]);
    }
  }
  if (thread == 0u) {
    runners[row * CHUNKS + group.x] = shared_runners[0];
  }
}
