import assert from "node:assert/strict";
import { storageBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/device.ts";
import { compileKernel, defineKernel } from "../../gpu/kernel.ts";
import { PassTimer } from "../../gpu/timer.ts";
import { withGpu } from "../helpers.ts";

const count = defineKernel({
  name: "count",
  code: `
    override TIMES: u32;
    @group(0) @binding(0) var<storage, read_write> y: array<u32>;
    @compute @workgroup_size(1) fn main() {
      for (var i = 0u; i < TIMES; i++) { y[i % 7u] += i; }
    }`,
  bindings: { y: "read_write" },
});

Deno.test("a timer's passes, in any order, add up to no more than the host waited", () =>
  withGpu(async (gpu) => {
    const y = storageBuffer(gpu, "y", 28);
    const kernel = (await compileKernel(gpu, count, { TIMES: 300_000 })).bind({ y });
    const before = gpu.allocatedBytes;
    const timer = await PassTimer.create(gpu, 3);
    for (const order of [[0, 1, 2], [2, 0, 1]]) {
      const encoder = gpu.device.createCommandEncoder();
      // All write y, so that one follows the other.
      for (const i of order) {
        const pass = timer.begin(encoder, i);
        kernel.dispatch(pass, 1);
        pass.end();
      }
      timer.resolve(encoder);
      const started = performance.now();
      gpu.device.queue.submit([encoder.finish()]);
      const times = await timer.read();
      const waited = performance.now() - started;
      assert.equal(times.length, 3);
      assert(times.every((time) => time > 0), `${times}`);
      // Ticks taken for a longer unit, or a begin taken for an end, would exceed it by far.
      assert(times[0]! + times[1]! + times[2]! <= waited, `${times}, waited ${waited}`);
    }
    timer.free();
    assert.equal(gpu.allocatedBytes, before);
  }));

Deno.test("a timer is refused where there are no timestamps", async () => {
  const without = { timestamps: false } as Gpu;
  await assert.rejects(PassTimer.create(without, 1), /This GPU cannot time passes/);
});
