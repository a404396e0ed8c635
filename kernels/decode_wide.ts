/**
 * Qkv and up, the matrices with many outputs that read the normalised hidden state, as WGSL text of
 * `decode_layers`.
 *
 * Knows how a workgroup's outputs are shared out among its threads, and how up's leave. It is no
 * kernel and has no bindings.
 */
export const DECODE_WIDE = `
// The matrix and the row of the \`mine\`-th quad of this workgroup: first those of up, then qkv's.
fn wide_matrix(layer: u32, share: Share, mine: u32) -> Matrix {
  if (mine < 8u * share.up_units) {
    return hidden_matrix(layer + UP_AT, layer + UP_GROUPS, FOR_UP, 0u);
  }
  return hidden_matrix(layer + QKV_AT, layer + QKV_GROUPS, FOR_QKV, FOR_QKV_SCALES);
}

fn wide_row(share: Share, mine: u32) -> u32 {
  let up_quads = 8u * share.up_units;
  return 4u * select(share.qkv_first + mine - up_quads, 8u * share.up_first + mine, mine < up_quads);
}

fn wide_sums(layer: u32, share: Share, mine: u32, lane: u32) -> vec4<f32> {
  let m = wide_matrix(layer, share, mine);
  return sums(m, wide_row(share, mine), lane, m.chunks, lane, LANES);
}

fn widen(layer: u32, share: Share, thread: u32) {
  let up_quads = 8u * share.up_units;
  let quads = up_quads + share.qkv_quads;
  let lane = thread % LANES;
  for (var base = 0u; base < quads; base += THREADS / LANES) {
    let mine = base + thread / LANES;
    var sum = vec4(0.0);
    if (mine < quads) {
      sum = wide_sums(layer, share, mine, lane);
    }
    sum = lanes_total(sum);
    if (lane == 0u && mine < quads) {
      let quad = wide_row(share, mine) / 4u;
      if (mine < up_quads) {
        gelus[mine] = gelu(sum + bitcast<vec4<f32>>(weights[layer + UP_BIAS + quad]));
      } else {
        qkv[quad] = sum + bitcast<vec4<f32>>(weights[layer + QKV_BIAS + quad]);
      }
    }
  }
  workgroupBarrier();
  for (var mine = thread; mine < up_quads; mine += THREADS) {
    let quad = quantised(gelus[mine]);
    let chunk = share.up_first + mine / 8u;
    let part = mine % 8u;
    ffn[(part % 2u) * FFN_CHUNKS + chunk][part / 2u] = quad.high;
    ffn[(2u + part % 2u) * FFN_CHUNKS + chunk][part / 2u] = quad.low;
    if (part == 0u) {
      keep_ffn_tail(chunk, quad);
    }
  }
}
`;
