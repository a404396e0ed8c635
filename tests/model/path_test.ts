/**
 * Which path `auto` takes: by the times of both, by those of this machine, and when one cannot be
 * had. In software one workgroup takes the persistent path.
 */
import assert from "node:assert/strict";
import { type Gpu, GpuError } from "../../gpu/device.ts";
import { readOnce } from "../../gpu/readback.ts";
import { Falcon } from "../../model/falcon.ts";
import { choosePath } from "../../model/path.ts";
import { fasterPath, type PathTimes, timePaths } from "../../model/path_times.ts";
import { PersistentLayers } from "../../model/persistent_layers.ts";
import { committedGolden, loadGolden } from "../golden.ts";
import { withGpu } from "../helpers.ts";

Deno.test("the faster path is taken, the portable one where they are about as fast", () => {
  const cases: [PathTimes, name: string, reason: string][] = [
    [{ portable: 1.79, persistent: 2.05 }, "portable", "1.79 ms a token against 2.05"],
    [{ portable: 2.36, persistent: 2.08 }, "persistent", "2.08 ms a token against 2.36"],
    [{ portable: 2, persistent: 2 }, "portable", "2.00 ms a token against 2.00"],
    [
      { portable: 2.05, persistent: 2 },
      "portable",
      "2.05 ms a token against 2.00, too close to matter",
    ],
    [{ portable: 2.07, persistent: 2 }, "persistent", "2.00 ms a token against 2.07"],
  ];
  for (const [times, name, reason] of cases) assert.deepEqual(fasterPath(times), { name, reason });
});

/** The same GPU with other properties. */
function like(gpu: Gpu, properties: Partial<Gpu>): Gpu {
  return new Proxy(gpu, {
    get(target, name) {
      const value = Reflect.get({ ...properties }, name) ?? Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** A model whose weights both paths can read, none chosen yet. */
async function load(gpu: Gpu): Promise<Falcon> {
  const model = await Falcon.load(gpu, committedGolden("q4-g128-act"), { path: "persistent" });
  model.forward.persistent!.free();
  model.forward.persistent = undefined;
  return model;
}

Deno.test("auto goes the persistent path where that is faster", () =>
  withGpu(async (gpu) => {
    const model = await load(gpu);
    const time = () => Promise.resolve({ portable: 3, persistent: 2 });
    assert.deepEqual(await choosePath(model, "auto", { workgroups: 1, time }), {
      name: "persistent",
      reason: "1 workgroups, 2.00 ms a token against 3.00",
    });
    assert(model.forward.persistent instanceof PersistentLayers);
  }));

Deno.test("where the persistent path loses, nothing of it is left", () =>
  withGpu(async (gpu) => {
    const model = await load(gpu);
    const before = gpu.allocatedBytes;
    let during = 0;
    const time = () => {
      during = gpu.allocatedBytes;
      return Promise.resolve({ portable: 1.79, persistent: 2.05 });
    };
    assert.deepEqual(await choosePath(model, "auto", { workgroups: 1, time }), {
      name: "portable",
      reason: "1.79 ms a token against 2.05",
    });
    assert.equal(model.forward.persistent, undefined);
    assert(during > before);
    assert.equal(gpu.allocatedBytes, before);
  }));

Deno.test("workgroups that do not meet while they are timed lose", () =>
  withGpu(async (gpu) => {
    const model = await load(gpu);
    const before = gpu.allocatedBytes;
    const time: typeof timePaths = (_, { broken: { buffer, offset } }) => {
      gpu.device.queue.writeBuffer(buffer, offset, new Uint32Array([1]));
      return Promise.resolve({ portable: 3, persistent: 2 });
    };
    assert.deepEqual(await choosePath(model, "auto", { workgroups: 1, time }), {
      name: "portable",
      reason: "The persistent path cannot be taken: its workgroups did not meet.",
    });
    assert.equal(gpu.allocatedBytes, before);
  }));

Deno.test("a driver's words go to the log, not into the reason", () =>
  withGpu(async (gpu) => {
    const model = await load(gpu);
    const time = () => Promise.reject(new GpuError("driver 12 said no"));
    const logged: string[] = [];
    const { error } = console;
    console.error = (line: string) => logged.push(line);
    try {
      assert.deepEqual(await choosePath(model, "auto", { workgroups: 1, time }), {
        name: "portable",
        reason: "the GPU refused the persistent one, see the log",
      });
    } finally {
      console.error = error;
    }
    assert.deepEqual(logged, ["The persistent path cannot be taken: driver 12 said no"]);
  }));

Deno.test("a named path is not timed, and a software adapter's neither", () =>
  withGpu(async (gpu) => {
    const model = await load(gpu);
    const time = () => assert.fail("timed");
    assert.deepEqual(await choosePath(model, "persistent", { workgroups: 1, time }), {
      name: "persistent",
      reason: "1 workgroups",
    });
    assert.deepEqual(await choosePath(await load(gpu), "portable", { time }), {
      name: "portable",
      reason: "asked for",
    });
    const parts = { ...await load(gpu), gpu: like(gpu, { software: true }) };
    assert.deepEqual(await choosePath(parts, "auto", { time }), {
      name: "portable",
      reason: "workgroups of a software adapter cannot meet",
    });
  }));

Deno.test("auto tries both paths on this machine, and the one taken computes the golden token", () =>
  withGpu(async (gpu) => {
    const { dir, prompts: [, prompt] } = loadGolden(committedGolden("q4-g128-act"));
    const { path, forward, kv, state, config } = await Falcon.load(gpu, dir, { workgroups: 1 });
    assert.match(path.reason, /^(1 workgroups, )?\d+\.\d\d ms a token against \d+\.\d\d/);
    assert.equal(path.name === "persistent", forward.persistent !== undefined);
    assert.equal(kv.blocksUsed, 0);
    kv.grow(0, prompt!.ids.length);
    for (const [position, token] of prompt!.ids.entries()) {
      const shape = forward.upload([{ token, position, slot: 0 }], [0]);
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      forward.encode(pass, shape);
      pass.end();
      gpu.device.queue.submit([encoder.finish()]);
    }
    const logits = new Float32Array(await readOnce(gpu, state.logits, config.vocabSize * 4));
    assert.equal(logits.indexOf(logits.reduce((a, b) => Math.max(a, b))), prompt!.greedy[0]);
  }));

for (const timestamps of [true, false]) {
  Deno.test(`both paths are timed ${timestamps ? "with" : "without"} timestamps`, () =>
    withGpu(async (gpu) => {
      const model = await Falcon.load(gpu, committedGolden("q4-g128-act"), { path: "persistent" });
      const layers = model.forward.persistent!;
      const before = gpu.allocatedBytes;
      const parts = { ...model, gpu: like(gpu, { timestamps }) };
      const { portable, persistent } = await timePaths(parts, layers);
      assert(portable > 0 && persistent > 0);
      assert.equal(model.forward.persistent, undefined);
      assert.equal(model.kv.blocksUsed, 0);
      assert.equal(gpu.allocatedBytes, before);
      const { buffer, offset } = layers.broken;
      const [arrivals, broken] = new Uint32Array(await readOnce(gpu, buffer, offset + 4));
      // A token of this model, in one arena, takes 3 meetings a layer less one.
      const token = 3 * model.config.layers - 1;
      assert(arrivals > 0 && arrivals % token === 0, `${arrivals} arrivals, ${token} a token`);
      assert.equal(broken, 0);
    }));
}
