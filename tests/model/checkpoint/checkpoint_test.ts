import assert from "node:assert/strict";
import { join } from "node:path";
import { type Checkpoint, openCheckpoint } from "../../../model/checkpoint/checkpoint.ts";
import { committedGolden, goldenDirs } from "../../golden.ts";
import { refused, withCopy } from "./damaged.ts";

async function withCheckpoint(dir: string, body: (checkpoint: Checkpoint) => Promise<void>) {
  const checkpoint = await openCheckpoint(dir);
  try {
    await body(checkpoint);
  } finally {
    checkpoint.close();
  }
}

Deno.test("checkpoint: goldens open with the settings their files hold", async () => {
  for (const dir of goldenDirs()) {
    const config = JSON.parse(await Deno.readTextFile(join(dir, "config.json")));
    await withCheckpoint(dir, (checkpoint) => {
      assert.equal(checkpoint.dir, dir);
      assert.equal(checkpoint.config.hiddenSize, config.hidden_size);
      assert.equal(checkpoint.config.layers, config.num_hidden_layers);
      assert(checkpoint.tensors.size > 0);
      return Promise.resolve();
    });
  }
  await withCheckpoint(committedGolden("q4-g128-noact-asym"), ({ quantization }) => {
    assert.deepEqual(quantization, {
      bits: 4,
      groupSize: 128,
      actOrder: false,
      symmetric: false,
      zeroOffset: 1,
    });
    return Promise.resolve();
  });
});

Deno.test("checkpoint: whole tensors and chunks are the file's bytes", () =>
  withCopy(async (copy) => {
    const expected = await copy.tensors();
    await withCheckpoint(copy.dir, async (checkpoint) => {
      const chunk = new Uint8Array(1003);
      for (const tensor of checkpoint.tensors.values()) {
        const { bytes } = expected.get(tensor.name)!;
        assert.deepEqual(await checkpoint.read(tensor), bytes);
        let end = 0;
        for await (const piece of checkpoint.chunks(tensor, chunk)) {
          assert.equal(piece.offset, end);
          assert.equal(piece.bytes.buffer, chunk.buffer);
          assert(piece.bytes.length % 4 === 0 && piece.bytes.length <= 1000);
          end += piece.bytes.length;
          assert.equal(piece.bytes.length, end < tensor.bytes ? 1000 : piece.bytes.length);
          assert.deepEqual(piece.bytes, bytes.slice(piece.offset, end));
        }
        assert.equal(end, tensor.bytes);
      }
    });
  }));

Deno.test("checkpoint: chunks of a range", () =>
  withCopy(async (copy) => {
    const name = "lm_head.weight";
    const { bytes } = (await copy.tensors()).get(name)!;
    await withCheckpoint(copy.dir, async (checkpoint) => {
      const tensor = checkpoint.tensors.get(name)!;
      const parts: number[] = [];
      for await (const piece of checkpoint.chunks(tensor, new Uint8Array(64), 6, 106)) {
        assert.deepEqual(piece.bytes, bytes.slice(piece.offset, piece.offset + piece.bytes.length));
        parts.push(piece.offset, piece.bytes.length);
      }
      assert.deepEqual(parts, [6, 64, 70, 36]);
      for await (const _ of checkpoint.chunks(tensor, new Uint8Array(64), 8, 8)) assert.fail();
      const bad = [[0, 6], [-4, 0], [8, 4], [0, tensor.bytes + 4], [NaN, 4]];
      for (const [start, end] of bad) {
        const chunks = checkpoint.chunks(tensor, new Uint8Array(64), start, end);
        await assert.rejects(chunks.next(), RangeError);
      }
      await assert.rejects(checkpoint.chunks(tensor, new Uint8Array(3)).next(), RangeError);
    });
  }));

Deno.test("checkpoint: readers of one file do not disturb each other", () =>
  withCopy(async (copy) => {
    const expected = await copy.tensors();
    await withCheckpoint(copy.dir, async (checkpoint) => {
      await Promise.all(
        [...checkpoint.tensors.values()].map(async (tensor) => {
          assert.deepEqual(await checkpoint.read(tensor), expected.get(tensor.name)!.bytes);
        }),
      );
    });
  }));

Deno.test("checkpoint: a file cut while it is read gives a sentence, then and later", () =>
  withCopy(async (copy) => {
    await withCheckpoint(copy.dir, async (checkpoint) => {
      const tensors = [...checkpoint.tensors.values()];
      const first = tensors[0]!, last = tensors.at(-1)!;
      await Deno.truncate(copy.path("model.safetensors"), last.offset + 2);
      const words = ["model.safetensors", "when it was opened", `byte ${last.offset + 2}`];
      await refused(() => checkpoint.read(last), ...words);
      await refused(() => checkpoint.chunks(last, new Uint8Array(64)).next(), ...words);
      assert.equal((await checkpoint.read(first)).length, first.bytes);
    });
  }));

Deno.test("checkpoint: a closed one reads no more", () =>
  withCopy(async (copy) => {
    const checkpoint = await openCheckpoint(copy.dir);
    const tensor = checkpoint.tensors.get("lm_head.weight")!;
    checkpoint.close();
    checkpoint.close();
    await refused(() => checkpoint.read(tensor), "model.safetensors", "closed");
  }));

Deno.test("checkpoint: a path that is no folder is refused with the cure", () =>
  withCopy(async (copy) => {
    const hub = ["nobody/no-such-model", "a folder", "Hugging Face", "give the folder"];
    await refused(() => openCheckpoint("nobody/no-such-model"), ...hub);
    const missing = copy.path("not here");
    await refused(() => openCheckpoint(missing), "not here", "a folder", "found nothing there");
    await refused(() => openCheckpoint(""), '""', "found nothing there");
    const file = copy.path("model.safetensors");
    await refused(() => openCheckpoint(file), file, "give its folder");
    await refused(() => openCheckpoint(join(file, "x")), "readable", "error of the system");
    await refused(() => openCheckpoint("x".repeat(5000)), "readable", "error of the system");
  }));

Deno.test("checkpoint: files that cannot be read are refused", () =>
  withCopy(async (copy) => {
    await Deno.writeTextFile(copy.path("config.json"), "{ 'single': 1 }");
    await refused(() => openCheckpoint(copy.dir), "config.json", "JSON");
    await Deno.writeFile(copy.path("config.json"), Uint8Array.of(0x7b, 0xff, 0x7d));
    await refused(() => openCheckpoint(copy.dir), "config.json", "JSON in UTF-8");
    await Deno.writeTextFile(copy.path("config.json"), "7");
    await refused(() => openCheckpoint(copy.dir), "config.json", "a JSON object", "found 7");
    await Deno.remove(copy.path("config.json"));
    await refused(() => openCheckpoint(copy.dir), copy.dir, "config.json", "no such file");
    await Deno.mkdir(copy.path("config.json"));
    await refused(() => openCheckpoint(copy.dir), "config.json", "a folder where a file");
  }));

Deno.test("checkpoint: no permission is said so", () =>
  withCopy(async (copy) => {
    const script = copy.path("open.ts");
    const module = import.meta.resolve("../../../model/checkpoint/checkpoint.ts");
    const code = `import { openCheckpoint } from "${module}";
      await openCheckpoint(Deno.args[0]).catch((error) => console.log(error.name, error.message));`;
    await Deno.writeTextFile(script, code);
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--no-check", "--quiet", script, copy.dir],
    }).output();
    const said = new TextDecoder().decode(stdout).trim();
    assert.equal(
      said,
      `CheckpointError ${copy.dir}: this should be there and readable, found no permission for ` +
        "this process to read it.",
    );
  }));

Deno.test("checkpoint: settings are found in config.json and in either file", () =>
  withCopy(async (copy) => {
    const settings = await copy.json("quantize_config.json");
    await Deno.remove(copy.path("quantize_config.json"));
    await refused(() => openCheckpoint(copy.dir), copy.dir, "quantize_config.json", "found none");

    await copy.writeJson("quant_config.json", { w_bit: 4, q_group_size: 128, desc_act: true });
    await withCheckpoint(copy.dir, ({ quantization }) => {
      assert.deepEqual([quantization.bits, quantization.groupSize], [4, 128]);
      return Promise.resolve();
    });
    await copy.edit("config.json", { quantization_config: { ...settings, quant_method: "gptq" } });
    await withCheckpoint(copy.dir, ({ quantization }) => {
      assert.equal(quantization.actOrder, true);
      return Promise.resolve();
    });
    await copy.writeJson("quant_config.json", { w_bit: 8, q_group_size: 128 });
    const words = ["quant_config.json", "config.json (quantization_config)", '"bits"', "found 8"];
    await refused(() => openCheckpoint(copy.dir), ...words);
  }));

Deno.test("checkpoint: refused settings are refused before the weights are looked at", () =>
  withCopy(async (copy) => {
    await Deno.remove(copy.path("model.safetensors"));
    await copy.edit("quantize_config.json", { bits: 3 });
    await refused(() => openCheckpoint(copy.dir), "quantize_config.json", '"bits"', "found 3");
    await copy.edit("config.json", { alibi: true });
    await refused(() => openCheckpoint(copy.dir), "config.json", '"alibi"');
  }));

Deno.test("checkpoint: the tokenizer is optional", () =>
  withCopy(async (copy) => {
    await withCheckpoint(copy.dir, ({ tokenizerPath }) => {
      assert.equal(tokenizerPath, undefined);
      return Promise.resolve();
    });
    await Deno.writeTextFile(copy.path("tokenizer.json"), "{}");
    await withCheckpoint(copy.dir, ({ tokenizerPath }) => {
      assert.equal(tokenizerPath, copy.path("tokenizer.json"));
      return Promise.resolve();
    });
  }));
