import assert from "node:assert/strict";
import { storageFrom } from "../../gpu/buffer.ts";
import { compileKernel, defineKernel } from "../../gpu/kernel.ts";
import { GELU } from "../../kernels/gelu.ts";
import { poisoned, readFloats, runPass, withGpu } from "../helpers.ts";
import { gelu } from "../reference.ts";

/** GELU is text for other kernels: this one does nothing else. */
const geluOnly = defineKernel({
  name: "gelu_only",
  code: GELU + `
    @group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
    @group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
      if (id.x < arrayLength(&x)) {
        y[id.x] = gelu(x[id.x]);
      }
    }`,
  bindings: { x: "read", y: "read_write" },
});

Deno.test("gelu: the exact function from -10 to 10, and far outside", () =>
  withGpu(async (gpu) => {
    const sweep = Array.from({ length: 20001 }, (_, i) => (i - 10000) / 1000);
    // Whole vectors of four: 20001 + 7 values.
    const x = new Float32Array([...sweep, 1e4, -1e4, 1e30, -1e30, 1e-30, -1e-30, 0]);
    const y = poisoned(gpu, "y", x.length);
    const call = (await compileKernel(gpu, geluOnly)).bind({ x: storageFrom(gpu, "x", x), y });
    runPass(gpu, (pass) => call.dispatch(pass, Math.ceil(x.length / 4 / 64)));
    const found = await readFloats(gpu, y);
    // The erfc fit is good to 1.2e-7, half of which times |v| reaches the result; f32 adds as much.
    const worst = Math.max(...found.map((value, i) => {
      const v = x[i];
      return Math.abs(value - gelu(v)) / Math.max(1, Math.abs(v));
    }));
    assert(worst <= 3e-7, `error ${worst}`);
    assert.equal(Math.abs(found[x.length - 1]), 0);
    // Literals, against a slip shared with the reference: x Phi(x) from tables of the normal law.
    const at = (v: number) => found[x.indexOf(v)];
    assert(Math.abs(at(1) - 0.8413447460685429) < 3e-7);
    assert(Math.abs(at(-1) + 0.15865525393145707) < 3e-7);
    assert(Math.abs(at(2) - 1.9544997361036416) < 6e-7);
    assert(Math.abs(at(-3) + 0.004049694095142785) < 9e-7);
  }));
