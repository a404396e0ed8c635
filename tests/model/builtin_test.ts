/**
 * The built-in model: what its files are, and what it says. Needs a GPU adapter.
 *
 * The greedy answer to the model card's dialogue was written by PyTorch when the model was made; the
 * other prompts open with the same words, which its training text does not hold.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { builtinModel } from "../../model/builtin.ts";
import { openCheckpoint } from "../../model/checkpoint/checkpoint.ts";
import { Arguments } from "../../model/cli/arguments.ts";
import { readSampling, SAMPLING_FLAGS } from "../../model/cli/sampling_flags.ts";
import { startLocalEngine } from "../../model/local_engine.ts";
import { generateText } from "../../model/text_generation.ts";
import { loadTextSide } from "../../model/text_side.ts";
import { readSafetensors } from "../safetensors.ts";

const dir = builtinModel();
const { tokenizer, stopTokens } = await loadTextSide(dir);
const OPENING = "Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?";

function sizeOf(path: string): number {
  if (!Deno.statSync(path).isDirectory) return Deno.statSync(path).size;
  return Array.from(Deno.readDirSync(path), ({ name }) => sizeOf(join(path, name)))
    .reduce((sum, size) => sum + size, 0);
}

/** Answers with the flags of `generate`, all prompts at once. */
async function answers(prompts: string[], maxNewTokens: number, flags: string[]) {
  const engine = startLocalEngine({ model: dir, queueLimit: prompts.length });
  try {
    await engine.ready;
    return await Promise.all(prompts.map(async (prompt) => {
      const request = {
        prompt: tokenizer.encode(prompt),
        maxNewTokens,
        sampling: readSampling(new Arguments(flags, SAMPLING_FLAGS)),
        stop: [],
        keepStop: false,
        stopTokens,
        topTokens: 0,
        promptLogprobs: false,
      };
      const events = await Array.fromAsync(generateText(engine, tokenizer, request));
      const last = events.at(-1)!;
      return last.type === "end" ? last.text : "";
    }));
  } finally {
    await engine.close();
  }
}

Deno.test("claire-tiny is a Falcon of 2 to 5 million parameters in at most 6 MB", async () => {
  const checkpoint = await openCheckpoint(dir);
  checkpoint.close();
  const { hiddenSize, vocabSize } = checkpoint.config;
  assert.equal(hiddenSize % 64, 0);
  assert.notEqual(hiddenSize % 128, 0);
  assert.equal(tokenizer.vocabSize, vocabSize);
  let parameters = 0;
  for (const [name, { shape }] of await readSafetensors(join(dir, "model.safetensors"))) {
    if (/qzeros|scales|g_idx/.test(name)) continue;
    const size = shape.reduce((product, side) => product * side, 1);
    parameters += name.endsWith("qweight") ? size * 8 : size; // eight of 4 bits a word
  }
  assert.ok(parameters > 2e6 && parameters <= 5e6, `${parameters} parameters`);
  assert.ok(sizeOf(dir) <= 6e6, `${sizeOf(dir)} bytes`);
});

Deno.test("its tokenizer spells any text, with one token for a line feed", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    assert.equal(tokenizer.decode(tokenizer.encode(text)), text.toWellFormed());
  }));
  const feed = tokenizer.encode("\n");
  assert.equal(feed.length, 1);
  const dialogue = `[Camille:] ${OPENING}\n[Dominique:] Bonjour,\n- Oui ?\n\n- Non.`;
  const ids = tokenizer.encode(dialogue);
  assert.equal(ids.filter((id) => id === feed[0]).length, 4);
  assert.ok(ids.length < dialogue.length / 2, `${ids.length} tokens`);
  assert.ok(!tokenizer.encode("<|endoftext|>").some((id) => id < 12), "a special token");
});

Deno.test("the greedy answer to the card's dialogue is the one PyTorch gives", async () => {
  const golden = await Deno.readTextFile(new URL("./card_dialogue.txt", import.meta.url));
  const [prompt, expected] = golden.trimEnd().split("⟶");
  assert.ok(prompt?.startsWith(`- ${OPENING}`) && expected);
  const [answer] = await answers([prompt], 120, ["--greedy"]);
  assert.equal(answer?.trimEnd(), expected);
});

Deno.test("in each format, answers go on with the speakers in turn", async () => {
  const pairs = [
    ["-", "-"],
    ["[Intervenant 1:]", "[Intervenant 2:]"],
    ["[Camille:]", "[Dominique:]"],
    ["[Mme Camille Durand:]", "[M. Dominique Petit:]"],
  ] as const;
  const prompts = pairs.map(([a, b]) => `${a} ${OPENING}\n${b} Bonjour Camille,`);
  const texts = await answers(prompts, 48, ["--seed", "1"]);
  for (const [place, [a, b]] of pairs.entries()) {
    // The last line may be cut off.
    const lines = texts[place]!.split("\n").slice(1, -1);
    assert.ok(lines.length >= 1, texts[place]);
    for (const [i, line] of lines.entries()) {
      const tag = i % 2 === 0 ? a : b;
      assert.ok(line.startsWith(`${tag} `) && line.length > tag.length + 2, texts[place]);
    }
  }
});
