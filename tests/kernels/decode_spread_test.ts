/** Mean and squares about it, against float64: also where the mean is thousands of spreads away. */
import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import { compileKernel, defineKernel } from "../../gpu/kernel.ts";
import { readOnce } from "../../gpu/readback.ts";
import { decodeSpread } from "../../kernels/decode_spread.ts";
import { poisoned, randomFloats, runPass, withGpu } from "../helpers.ts";

const THREADS = 256;

const frame = (quads: number) => `
override WIDTH: u32;
const THREADS = ${THREADS}u;
const QUADS = ${quads}u;
const HIDDEN = 4u * QUADS;
override SUBGROUPS: u32 = THREADS / WIDTH;
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // (QUADS)
@group(0) @binding(1) var<storage, read_write> y: array<vec2<f32>>; // (THREADS): mean, squares
var<workgroup> partials: array<vec4<f32>, 2 * THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  let second = min(thread + THREADS, QUADS - 1u);
  let spread = spread_of(x[min(thread, QUADS - 1u)], x[second], thread);
  y[thread] = vec2(spread.mean, spread.squares);
}
`;

for (const once of [false, true]) {
  for (const quads of [5, 48, 250, 284, 512]) {
    for (const [offset, outlier] of [[0, 1], [5000, 1], [-3, 4000]]) {
      const name = `${once ? "once" : "twice"}: ${quads} quads about ${offset}, first ${outlier}`;
      Deno.test(name, () =>
        withGpu(async (gpu) => {
          const x = randomFloats(4 * quads, quads).map((value) => value + offset);
          x[0] *= outlier;
          const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
          // What is divided by the spread is as wrong as the mean is, in spreads.
          const squares = x.reduce((sum, value) => sum + (value - mean) ** 2, 0);
          const bound = 1e-6 * Math.abs(mean) + 5e-6 * Math.sqrt(squares / x.length);
          const source = defineKernel({
            name: `decode_spread, ${name}`,
            code: frame(quads) + decodeSpread(once),
            bindings: { x: "read", y: "read_write" },
          });
          const kernel = await compileKernel(gpu, source, { WIDTH: gpu.subgroupSize });
          const y = poisoned(gpu, "y", 2 * THREADS);
          const bindings = kernel.bind({ x: storageFrom(gpu, "x", x), y });
          runPass(gpu, (pass) => bindings.dispatch(pass, 1));
          const found = new Float32Array(await readOnce(gpu, y, 8 * THREADS));
          for (let thread = 0; thread < THREADS; thread++) {
            const [ours, about] = found.subarray(2 * thread, 2 * thread + 2);
            assert(Math.abs(ours - mean) <= bound, `mean ${ours}, ${mean}`);
            assert(Math.abs(about - squares) <= 2e-5 * squares, `squares ${about}, ${squares}`);
          }
        }));
    }
  }
}
