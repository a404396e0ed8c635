/**
 * The race that draws a token, as WGSL text that kernels put before their own: token i finishes at
 * E_i / p_i with E_i exponentially distributed, so it wins with probability p_i.
 *
 * E_i comes from a counter-based generator, Philox 4x32-10 (Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", 2011), of the seed, the place of the token in the answer and its
 * id: nothing else can change what is drawn.
 *
 * It is no kernel and has no bindings. The kernel declares VOCAB and THREADS = 256, and says who
 * runs: `racer(row, id) -> Runner`. `WIDE_INTEGER`, `SAMPLING_STATE` and `SAMPLING_ROWS` come
 * before it.
 */
export const RACE = `
var<workgroup> runners_of_chunk: array<Runner, THREADS>;

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

fn runner(bits: u32, id: u32, largest: f32, draw: Draw) -> Runner {
  let logit = (bitcast<f32>(bits) - largest) / draw.temperature;
  let random = philox(vec4(id, draw.index, 0u, 0u), draw.seed);
  return Runner(logit - log_exponential(random.x, random.y), id, exp(logit));
}

// A token that was removed.
fn absent(id: u32) -> Runner {
  return Runner(LOWEST, id, 0.0);
}

fn faster(a: Runner, b: Runner) -> Runner {
  let b_wins = b.speed > a.speed || (b.speed == a.speed && b.id < a.id);
  return Runner(select(a.speed, b.speed, b_wins), select(a.id, b.id, b_wins), a.sum + b.sum);
}

// The winner of a chunk of a row, for thread 0.
fn winner_of_chunk(row: u32, chunk: u32, thread: u32) -> Runner {
  let first = chunk * TOKENS_PER_CHUNK + thread;
  var winner = absent(0xffffffffu);
  for (var i = 0u; i < TOKENS_PER_CHUNK / THREADS; i++) {
    let id = first + i * THREADS;
    if (id < VOCAB) {
      winner = faster(winner, racer(row, id));
    }
  }
  runners_of_chunk[thread] = winner;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      runners_of_chunk[thread] = faster(runners_of_chunk[thread], runners_of_chunk[thread + half]);
    }
  }
  workgroupBarrier();
  return runners_of_chunk[0];
}
`;
