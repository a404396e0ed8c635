/**
 * Weights touched ahead of their reading, as WGSL text of `decode_layers`.
 *
 * Knows what a workgroup reads first of each matrix. It is no kernel and has no bindings.
 *
 * While workgroups meet and fetch the next vector, memory would idle. So all threads but those that
 * wait for the others read a word of each of the first sectors of every row that their workgroup is
 * about to multiply, and of its scales: the rest of a sector comes along, into the L2 on the side of
 * this workgroup. The words are good for nothing, but have to be used: see `settle`.
 */
import type { DecodeTuning } from "./decode_tuning.ts";

const COMPONENTS = ["x", "y", "z", "w"];

/**
 * `touch_wide(layer, share, thread)`, `touch_down` and `touch_dense` begin the loads, `settle` waits
 * for them. The kernel declares WAITERS, threads that do not touch, and SECTOR in 16 bytes.
 */
export function decodeTouch({ touchWide, touchDown, touchDense }: DecodeTuning): string {
  const most = Math.max(4, touchWide, touchDown, touchDense);
  const fields = Array.from({ length: most / 4 }, (_, i) => `w${i}`);
  return `
struct Touched {
  ${fields.map((name) => `${name}: vec4<u32>,`).join("\n  ")}
  groups: u32,
}

// How the first sectors of some rows are given out: so many of each row.
struct Touches { rows: u32, each: u32 }

fn touches(rows: u32, size: u32, loads: u32) -> Touches {
  let most = (size + SECTOR - 1u) / SECTOR;
  return Touches(max(rows, 1u), clamp(loads * TOUCHERS / max(rows, 1u), 1u, most));
}

// Of the i-th touch: its row, and its place there.
fn touched_row(t: Touches, i: u32) -> u32 {
  return min(i / t.each, t.rows - 1u);
}

fn touched_part(t: Touches, i: u32) -> u32 {
  return i % t.each * SECTOR;
}

fn wide_touch(layer: u32, share: Share, t: Touches, i: u32) -> u32 {
  let row = touched_row(t, i);
  let m = wide_matrix(layer, share, row / 4u);
  let at = m.at + (wide_row(share, row / 4u) + row % 4u) * HIDDEN_CHUNKS * CHUNK_SIZE;
  return weights[at + touched_part(t, i)].x;
}

fn narrow_touch(m: Matrix, share: Share, t: Touches, i: u32) -> u32 {
  let row = 4u * share.out_first + touched_row(t, i);
  return weights[m.at + row * m.chunks * CHUNK_SIZE + touched_part(t, i)].x;
}

// Scales and zeros of neighbouring quads lie side by side: \`groups\` times 16 bytes of each.
fn wide_groups_touch(layer: u32, share: Share, i: u32) -> u32 {
  let groups = wide_matrix(layer, share, 0u).groups;
  let mine = min(i * SECTOR / groups, 8u * share.up_units + max(share.qkv_quads, 1u) - 1u);
  let m = wide_matrix(layer, share, mine);
  return weights[m.groups_at + wide_row(share, mine) / 4u * groups + i * SECTOR % groups].x;
}

fn narrow_groups_touch(m: Matrix, share: Share, i: u32) -> u32 {
  let at = m.groups_at + share.out_first * m.groups;
  return weights[at + min(i * SECTOR, max(share.out_quads * m.groups, 1u) - 1u)].x;
}
${
    touch("wide", touchWide, {
      rows: "4u * (8u * share.up_units + share.qkv_quads), HIDDEN_CHUNKS",
      word: (i) => `wide_touch(layer, share, t, ${i})`,
      groups: "wide_groups_touch(layer, share, i)",
    })
  }${
    touch("down", touchDown, {
      rows: "4u * share.out_quads, FFN_CHUNKS",
      word: (i) => `narrow_touch(down_matrix(layer), share, t, ${i})`,
      groups: "narrow_groups_touch(down_matrix(layer), share, i)",
    })
  }${
    touch("dense", touchDense, {
      rows: "4u * share.out_quads, HIDDEN_CHUNKS",
      word: (i) => `narrow_touch(dense_matrix(layer), share, t, ${i})`,
      groups: "narrow_groups_touch(dense_matrix(layer), share, i)",
    })
  }
// A use that no compiler can leave out, and that next to never happens.
fn settle(t: Touched) {
  let all = ${fields.map((name) => `t.${name}`).join(" ^ ")};
  if ((all.x ^ all.y ^ all.z ^ all.w ^ t.groups) == 0x5eed5eedu) {
    atomicStore(&meeting.touched, 1u);
  }
}

fn settle_if(now: bool, t: Touched) {
  if (now) {
    settle(t);
  }
}
`;
}

interface Touch {
  /** How many rows, and chunks of a row. */
  rows: string;
  /** The i-th word. */
  word: (i: string) => string;
  groups: string;
}

/** All loads of a thread are independent, so they are under way at once. */
function touch(name: string, loads: number, { rows, word, groups }: Touch): string {
  if (loads === 0) {
    return `
fn touch_${name}(layer: u32, share: Share, thread: u32) -> Touched {
  return Touched();
}
`;
  }
  const quads = Array.from({ length: loads / 4 }, (_, quad) => {
    const words = COMPONENTS.map((_, i) => word(`i + ${4 * quad + i}u * TOUCHERS`));
    return `touched.w${quad} = vec4(\n      ${words.join(",\n      ")},\n    );`;
  });
  return `
fn touch_${name}(layer: u32, share: Share, thread: u32) -> Touched {
  var touched = Touched();
  if (thread >= WAITERS) {
    let i = thread - WAITERS;
    let t = touches(${rows} * CHUNK_SIZE, ${loads}u);
    ${quads.join("\n    ")}
    touched.groups = ${groups};
  }
  return touched;
}
`;
}
