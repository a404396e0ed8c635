/** Compiles one kernel three times, twice with the same constants, and computes with it. */
import assert from "node:assert/strict";
import { storageBuffer } from "../../gpu/buffer.ts";
import { openGpu } from "../../gpu/device.ts";
import { compileKernel, defineKernel } from "../../gpu/kernel.ts";
import { readOnce } from "../../gpu/readback.ts";
import { runPass } from "../helpers.ts";

const fill = defineKernel({
  name: "fill",
  code: `override VALUE: u32;
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1) fn main() { y[0] = VALUE; }
`,
  bindings: { y: "read_write" },
});

const gpu = await openGpu();
console.error("compiling"); // drivers print lines of their own before
const y = storageBuffer(gpu, "y", 4);
for (const VALUE of [7, 7, 9]) {
  const kernel = (await compileKernel(gpu, fill, { VALUE })).bind({ y });
  runPass(gpu, (pass) => kernel.dispatch(pass, 1));
  assert.equal(new Uint32Array(await readOnce(gpu, y, 4))[0], VALUE);
}
gpu.check();
gpu.close();
