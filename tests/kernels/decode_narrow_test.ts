/** However few or many quads and subgroups there are: each chunk of each quad is added exactly once. */
import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/device.ts";
import { compileKernel, defineKernel } from "../../gpu/kernel.ts";
import { readOnce } from "../../gpu/readback.ts";
import { decodeNarrow } from "../../kernels/decode_narrow.ts";
import { poisoned, runPass, withGpu } from "../helpers.ts";

const MOST_QUADS = 64;

/** The matrix is replaced by what tells chunks apart: how many, and the sums of their squares. */
const frame = `
override THREADS: u32;
override WIDTH: u32;
override SUBGROUPS: u32 = THREADS / WIDTH;
override ATTENDERS: u32;
struct Matrix { chunks: u32 }
struct Share { out_first: u32, out_quads: u32 }
struct Case { quads: u32, chunks: u32, attends: u32, unused: u32 }
@group(0) @binding(0) var<storage, read> given: array<Case>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // (cases, ${MOST_QUADS})
var<workgroup> partials: array<vec4<f32>, THREADS + ${MOST_QUADS}>;

fn sums(m: Matrix, row: u32, first: u32, end: u32, lane: u32, lanes: u32) -> vec4<f32> {
  var sum = vec4(0.0);
  for (var chunk = first; chunk < end; chunk += lanes) {
    sum += vec4(1.0, f32(chunk), f32(chunk * chunk), f32(row));
  }
  return sum;
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let one = given[group.x];
  let m = Matrix(one.chunks);
  let share = Share(3u, one.quads);
  let team = down_team(one.attends == 1u);
  for (var i = thread; i < THREADS + ${MOST_QUADS}u; i += THREADS) {
    partials[i] = bitcast<vec4<f32>>(vec4(0x7fc00000u + one.unused));
  }
  workgroupBarrier();
  narrow(m, share, team, thread);
  workgroupBarrier();
  for (var mine = thread; mine < one.quads; mine += THREADS) {
    y[group.x * ${MOST_QUADS}u + mine] = partials_total(m, share, team, mine);
  }
}
`;

async function totals(gpu: Gpu, cases: number[][]): Promise<Float32Array> {
  const source = defineKernel({
    name: "decode_narrow, framed",
    code: frame + decodeNarrow(true),
    bindings: { given: "read", y: "read_write" },
  });
  const constants = { THREADS: 256, WIDTH: gpu.subgroupSize, ATTENDERS: 3 };
  const kernel = await compileKernel(gpu, source, constants);
  const y = poisoned(gpu, "y", cases.length * MOST_QUADS * 4);
  const given = storageFrom(gpu, "cases", new Uint32Array(cases.flat()));
  runPass(gpu, (pass) => kernel.bind({ given, y }).dispatch(pass, cases.length));
  return new Float32Array(await readOnce(gpu, y, y.size));
}

Deno.test("down and dense cut evenly: every chunk of every quad once", () =>
  withGpu(async (gpu) => {
    const cases = [0, 1].flatMap((attends) =>
      [1, 2, 8, 9, 48, 60].flatMap((quads) =>
        [1, 6, 24, 142, 568].map((chunks) => [quads, chunks, attends, 0])
      )
    );
    const found = await totals(gpu, cases);
    for (const [i, [quads, chunks]] of cases.entries()) {
      for (let quad = 0; quad < quads; quad++) {
        const at = (i * MOST_QUADS + quad) * 4;
        const sum = chunks * (chunks - 1) / 2;
        const squares = sum * (2 * chunks - 1) / 3;
        const row = chunks * 4 * (3 + quad);
        const [count, ids, squared, rows] = found.subarray(at, at + 4);
        assert.deepEqual(
          [count, ids, rows],
          [chunks, sum, row],
          `${quads} quads, ${chunks} chunks`,
        );
        assert(Math.abs(squared - squares) <= 1e-5 * squares);
      }
    }
  }));
