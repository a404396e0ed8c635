import assert from "node:assert/strict";
import { storageBuffer, storageFrom } from "../../gpu/buffer.ts";
import { GpuError } from "../../gpu/device.ts";
import { compileKernel, defineKernel } from "../../gpu/kernel.ts";
import { Readback, readOnce } from "../../gpu/readback.ts";
import { withGpu } from "../helpers.ts";

const double = defineKernel({
  name: "double",
  code: `
    override BY: u32 = 2u;
    @group(0) @binding(0) var<storage, read> x: array<u32>;
    @group(0) @binding(1) var<storage, read_write> y: array<u32>;
    @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
      y[id.x] = x[id.x] * BY;
    }`,
  bindings: { x: "read", y: "read_write" },
});

Deno.test("a kernel runs with its constants and every read back is current", () =>
  withGpu(async (gpu) => {
    const x = storageFrom(gpu, "x", new Uint32Array([1, 2, 3]));
    const y = storageBuffer(gpu, "y", 12);
    const readback = await Readback.create(gpu, "out", 12);
    for (const by of [2, 7, 50]) {
      const call = (await compileKernel(gpu, double, { BY: by })).bind({ x, y });
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      call.dispatch(pass, 3);
      pass.end();
      readback.copy(encoder, y, 0, 12);
      gpu.device.queue.submit([encoder.finish()]);
      assert.deepEqual([...new Uint32Array(await readback.read(12))], [by, 2 * by, 3 * by]);
    }
  }));

Deno.test("a kernel that does not compile is named, with the compiler's text", () =>
  withGpu(async (gpu) => {
    const broken = defineKernel({ ...double, name: "broken", code: "fn main() { let x = nope; }" });
    await assert.rejects(compileKernel(gpu, broken), (error: Error) => {
      assert(error instanceof GpuError);
      assert.match(error.message, /kernel broken .*nope/s);
      return true;
    });
  }));

Deno.test("two kernels compiled at once keep their own errors", () =>
  withGpu(async (gpu) => {
    const broken = defineKernel({ ...double, name: "broken", code: "fn main() { let x = nope; }" });
    const results = await Promise.allSettled([
      compileKernel(gpu, broken),
      compileKernel(gpu, double),
      compileKernel(gpu, broken, { BY: 1 }),
    ]);
    assert.deepEqual(results.map((r) => r.status), ["rejected", "fulfilled", "rejected"]);
  }));

Deno.test("a GPU error that WebGPU would keep silent is thrown by check()", async () => {
  await assert.rejects(
    withGpu(async (gpu) => {
      const x = storageFrom(gpu, "x", new Uint32Array([1]));
      const y = storageBuffer(gpu, "y", 4);
      const kernel = await compileKernel(gpu, double, { BY: 2 });
      kernel.bind({ x, y: { buffer: y, offset: 0, size: 4096 } });
      await gpu.device.queue.onSubmittedWorkDone();
    }),
    GpuError,
  );
});

Deno.test("a buffer beyond the device's limit is an error, not silence", async () => {
  await assert.rejects(
    withGpu((gpu) => {
      storageBuffer(gpu, "too large", 2 ** 50);
      return Promise.resolve();
    }),
    GpuError,
  );
});

Deno.test("bytes of our own buffers are counted, and given back", () =>
  withGpu(async (gpu) => {
    const before = gpu.allocatedBytes;
    const buffer = storageFrom(gpu, "odd", new Uint8Array([1, 2, 3, 4, 5]));
    assert.equal(gpu.allocatedBytes, before + 8);
    assert.deepEqual([...new Uint8Array(await readOnce(gpu, buffer, 8))], [1, 2, 3, 4, 5, 0, 0, 0]);
    gpu.freeBuffer(buffer);
    gpu.freeBuffer(buffer);
    assert.equal(gpu.allocatedBytes, before);
  }));
