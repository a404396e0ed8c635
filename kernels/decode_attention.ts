/**
 * Attention of one row over its keys, as WGSL text of `decode_layers`.
 *
 * Knows how keys and heads are given to threads and how runs of keys are put together. It is no
 * kernel and has no bindings.
 *
 * Eight threads, an octet, share a key: each has eight of its dimensions, for two heads. An octet
 * keeps a running softmax (maximum, weight, sum of values) of the keys it has seen; octets of a
 * subgroup join by shuffles, subgroups through workgroup memory, runs through `mix`.
 */
export const DECODE_ATTENTION = `
// The runs that a row's keys are cut in, its own key in the last one.
struct Runs { count: u32, keys: u32 }

fn runs_of(position: u32) -> Runs {
  let count = min(position / KEYS_PER_RUN + 1u, MOST_RUNS);
  return Runs(count, (position + count) / count);
}

struct Eight { a: vec4<f32>, b: vec4<f32> }

// Eight dimensions of a head of qkv, rotated by its position: dimension d pairs with d + 32.
fn rotated(head: u32, o: u32, position: u32) -> Eight {
  let own = head * 16u + 2u * o;
  let other = head * 16u + (2u * o + 8u) % 16u;
  let at = position * 16u + 4u * (o % 4u);
  let first = angles[at];
  let second = angles[at + 1u];
  let third = angles[at + 2u];
  let fourth = angles[at + 3u];
  let sign = select(1.0, -1.0, o < 4u);
  return Eight(
    qkv[own] * vec4(first.xz, second.xz) + sign * qkv[other] * vec4(first.yw, second.yw),
    qkv[own + 1u] * vec4(third.xz, fourth.xz) + sign * qkv[other + 1u] * vec4(third.yw, fourth.yw),
  );
}

fn halves(v: Eight) -> vec4<u32> {
  return vec4(
    pack2x16float(v.a.xy),
    pack2x16float(v.a.zw),
    pack2x16float(v.b.xy),
    pack2x16float(v.b.zw),
  );
}

fn floats(w: vec4<u32>) -> Eight {
  return Eight(
    vec4(unpack2x16float(w.x), unpack2x16float(w.y)),
    vec4(unpack2x16float(w.z), unpack2x16float(w.w)),
  );
}

fn octet_total(value: vec4<f32>) -> vec4<f32> {
  var sum = value + subgroupShuffleXor(value, 1u);
  sum += subgroupShuffleXor(sum, 2u);
  return sum + subgroupShuffleXor(sum, 4u);
}

fn dot8(k: Eight, q: Eight) -> f32 {
  return dot(k.a, q.a) + dot(k.b, q.b);
}

// What an octet, then a subgroup, knows of one head: attention over the keys it has seen.
struct Seen { highest: f32, weight: f32, a: vec4<f32>, b: vec4<f32> }

fn see(s: Seen, scores: vec4<f32>, v0: Eight, v1: Eight, v2: Eight, v3: Eight) -> Seen {
  let highest = max(s.highest, max(max(scores.x, scores.y), max(scores.z, scores.w)));
  let shrink = exp(s.highest - highest);
  let p = exp(scores - highest);
  return Seen(
    highest,
    s.weight * shrink + (p.x + p.y) + (p.z + p.w),
    s.a * shrink + (p.x * v0.a + p.y * v1.a) + (p.z * v2.a + p.w * v3.a),
    s.b * shrink + (p.x * v0.b + p.y * v1.b) + (p.z * v2.b + p.w * v3.b),
  );
}

// Joins with the octet \`distance\` threads away.
fn joined(s: Seen, distance: u32) -> Seen {
  let highest = max(s.highest, subgroupShuffleXor(s.highest, distance));
  let shrink = exp(s.highest - highest);
  let weight = s.weight * shrink;
  let a = s.a * shrink;
  let b = s.b * shrink;
  return Seen(
    highest,
    weight + subgroupShuffleXor(weight, distance),
    a + subgroupShuffleXor(a, distance),
    b + subgroupShuffleXor(b, distance),
  );
}

// Where an octet's next four keys lie, those that there are.
fn places(first: u32, end: u32, octets: u32, table: u32, base: u32) -> vec4<u32> {
  let at = min(first + octets * vec4(0u, 1u, 2u, 3u), vec4(max(end, 1u) - 1u));
  let blocks = vec4(
    tables[table + at.x / BLOCK],
    tables[table + at.y / BLOCK],
    tables[table + at.z / BLOCK],
    tables[table + at.w / BLOCK],
  );
  return base + (blocks * 2u * BLOCK + at % BLOCK) * 8u;
}

// One run of keys for two heads, by the ATTENTION last threads. The row's own key and value are not
// in the cache yet: the first octet of the last run takes them from qkv.
fn attend(layer_kv: u32, unit: u32, slot: u32, attender: u32) {
  let row = rows[0];
  let position = row.y;
  let o = attender % 8u;
  let octet = attender / 8u;
  let octets = ATTENTION / 8u;
  let head = unit % PAIRS * 2u;
  let run = unit / PAIRS;
  let runs = runs_of(position);
  let end = min(position, (run + 1u) * runs.keys);
  let scale = 0.125; // 1 / sqrt(HEAD_DIM)

  let q0 = rotated(head, o, position);
  let q1 = rotated(min(head + 1u, HEADS - 1u), o, position);
  let new_key = halves(rotated(HEADS, o, position));
  let value_at = (HEADS + 1u) * 16u + 2u * o;
  let new_value = halves(Eight(qkv[value_at], qkv[value_at + 1u]));
  let own = run + 1u == runs.count && octet == 0u;
  if (own && head == 0u) {
    let block = tables[row.z + position / BLOCK];
    let place = layer_kv + (block * 2u * BLOCK + position % BLOCK) * 8u + o;
    kv[place] = new_key;
    kv[place + BLOCK * 8u] = new_value;
  }
  let key = floats(new_key);
  let value = floats(new_value);
  let own_scores = octet_total(vec4(dot8(key, q0), dot8(key, q1), 0.0, 0.0)) * scale;
  let there = select(0.0, 1.0, own);
  var seen0 = Seen(select(LOWEST, own_scores.x, own), there, there * value.a, there * value.b);
  var seen1 = Seen(select(LOWEST, own_scores.y, own), there, there * value.a, there * value.b);

  var first = run * runs.keys + octet;
  var next = places(first, end, octets, row.z, layer_kv + o);
  while (first < end) {
    let place = next;
    let w0 = kv[place.x];
    let w1 = kv[place.y];
    let w2 = kv[place.z];
    let w3 = kv[place.w];
    let u0 = kv[place.x + BLOCK * 8u];
    let u1 = kv[place.y + BLOCK * 8u];
    let u2 = kv[place.z + BLOCK * 8u];
    let u3 = kv[place.w + BLOCK * 8u];
    let inside = first + octets * vec4(0u, 1u, 2u, 3u) < vec4(end);
    first += 4u * octets;
    next = places(first, end, octets, row.z, layer_kv + o);
    let k0 = floats(w0);
    let k1 = floats(w1);
    let k2 = floats(w2);
    let k3 = floats(w3);
    let scores0 = octet_total(vec4(dot8(k0, q0), dot8(k1, q0), dot8(k2, q0), dot8(k3, q0))) * scale;
    let scores1 = octet_total(vec4(dot8(k0, q1), dot8(k1, q1), dot8(k2, q1), dot8(k3, q1))) * scale;
    let v0 = floats(u0);
    let v1 = floats(u1);
    let v2 = floats(u2);
    let v3 = floats(u3);
    seen0 = see(seen0, select(vec4(LOWEST), scores0, inside), v0, v1, v2, v3);
    seen1 = see(seen1, select(vec4(LOWEST), scores1, inside), v0, v1, v2, v3);
  }
  for (var distance = 8u; distance < WIDTH; distance *= 2u) {
    seen0 = joined(seen0, distance);
    seen1 = joined(seen1, distance);
  }
  if (attender % WIDTH < 8u) {
    let place = (slot * ATTENDERS + attender / WIDTH) * 2u;
    keep(place, o, seen0);
    keep(place + 1u, o, seen1);
  }
}

fn keep(place: u32, o: u32, s: Seen) {
  if (o == 0u) {
    attended[place][0] = s.highest;
    attended[place][1] = s.weight;
  }
  for (var i = 0u; i < 4u; i++) {
    attended[place][2u + 8u * o + i] = s.a[i];
    attended[place][6u + 8u * o + i] = s.b[i];
  }
}

// What the subgroups have seen of one run and two heads, put together: 16 threads a head.
fn publish(unit: u32, slot: u32, thread: u32) {
  let local = thread / 16u;
  let head = unit % PAIRS * 2u + local;
  if (local >= 2u || head >= HEADS) {
    return;
  }
  let quad = thread % 16u;
  let at = slot * ATTENDERS * 2u + local;
  var highest = LOWEST;
  for (var i = 0u; i < ATTENDERS; i++) {
    highest = max(highest, attended[at + 2u * i][0]);
  }
  var weight = 0.0;
  var sum = vec4(0.0);
  for (var i = 0u; i < ATTENDERS; i++) {
    let from_one = at + 2u * i;
    let shrink = exp(attended[from_one][0] - highest);
    weight += shrink * attended[from_one][1];
    sum += shrink * vec4(
      attended[from_one][2u + 4u * quad],
      attended[from_one][3u + 4u * quad],
      attended[from_one][4u + 4u * quad],
      attended[from_one][5u + 4u * quad],
    );
  }
  let place = unit / PAIRS * HEADS + head;
  mix[place * 16u + quad] = sum / weight;
  if (quad == 0u) {
    mix_weights[place] = vec2(highest, weight);
  }
}

// Four numbers of attention's output, over all runs.
fn mixed(i: u32, runs: u32) -> vec4<f32> {
  if (runs == 1u) {
    return mix[i];
  }
  let head = i / 16u;
  var highest = LOWEST;
  for (var run = 0u; run < runs; run++) {
    highest = max(highest, mix_weights[run * HEADS + head].x);
  }
  var weight = 0.0;
  var sum = vec4(0.0);
  for (var run = 0u; run < runs; run++) {
    let known = mix_weights[run * HEADS + head];
    let part = exp(known.x - highest) * known.y;
    weight += part;
    sum += part * mix[run * QUADS + i];
  }
  return sum / weight;
}
`;
