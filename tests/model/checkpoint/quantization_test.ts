import assert from "node:assert/strict";
import { groupCount, parseQuantization } from "../../../model/checkpoint/quantization.ts";
import { Settings } from "../../../model/checkpoint/settings.ts";
import { refused } from "./damaged.ts";

const MAIN_BRANCH = {
  bits: 4,
  group_size: 128,
  damp_percent: 0.1,
  desc_act: true,
  static_groups: false,
  sym: true,
  true_sequential: true,
  model_name_or_path: null,
  model_file_base_name: "model",
};

/** Parses settings as if they came from a.json, b.json, … */
function parse(...jsons: Record<string, unknown>[]) {
  const places = jsons.map((json, i) => new Settings(json, `${"abc"[i]}.json`));
  return parseQuantization(places, "folder");
}

Deno.test("quantization: AutoGPTQ's file", () => {
  assert.deepEqual(parse(MAIN_BRANCH), {
    bits: 4,
    groupSize: 128,
    actOrder: true,
    symmetric: true,
    zeroOffset: 1,
  });
});

Deno.test("quantization: synonyms, formats and no group", () => {
  const short = parse({ w_bit: 8, q_group_size: -1, quant_method: "GPTQ" });
  assert.deepEqual(short, {
    bits: 8,
    groupSize: 0,
    actOrder: false,
    symmetric: true,
    zeroOffset: 1,
  });
  for (const key of ["checkpoint_format", "format"]) {
    assert.equal(parse({ ...MAIN_BRANCH, [key]: "gptq_v2" }).zeroOffset, 0);
    assert.equal(parse({ ...MAIN_BRANCH, [key]: "gptq" }).zeroOffset, 1);
  }
  assert.equal(parse({ ...MAIN_BRANCH, group_size: 32, sym: false }).symmetric, false);
});

Deno.test("quantization: places complete each other", () => {
  const both = parse({ bits: 4, quant_method: "gptq" }, { group_size: 64, desc_act: true });
  assert.deepEqual([both.bits, both.groupSize, both.actOrder], [4, 64, true]);
  assert.equal(parse({ bits: 4, group_size: -1 }, { w_bit: 4, q_group_size: -1 }).groupSize, 0);
});

Deno.test("quantization: places that contradict each other are refused", async () => {
  const rivals: [Record<string, unknown>, ...string[]][] = [
    [{ bits: 8 }, "b.json", "a.json", '"bits"', "4", "found 8"],
    [{ q_group_size: 64 }, '"group_size"', "128 as in a.json", "found 64"],
    [{ desc_act: false }, '"desc_act"', "true as in a.json", "found false"],
    [{ sym: false }, '"sym"', "a.json", "b.json"],
  ];
  for (const [rival, ...words] of rivals) {
    await refused(() => parse(MAIN_BRANCH, rival), ...words);
  }
  await refused(() => parse({ ...MAIN_BRANCH, w_bit: 8 }), '"w_bit"', '4 like "bits"', "found 8");
});

Deno.test("quantization: what Clairon does not run is refused by name", async () => {
  const cases: [Record<string, unknown>, ...string[]][] = [
    [{ bits: 2 }, '"bits"', "4 or 8", "found 2"],
    [{ bits: 3 }, '"bits"', "found 3"],
    [{ bits: "4" }, '"bits"', 'found "4"'],
    [{ bits: null }, '"bits"', "given", "found nothing"],
    [{ group_size: undefined }, '"group_size"', "given"],
    [{ group_size: 0 }, '"group_size"', "multiple of 32", "found 0"],
    [{ group_size: 16 }, '"group_size"', "found 16"],
    [{ group_size: 100 }, '"group_size"', "found 100"],
    [{ group_size: "128" }, '"group_size"', 'found "128"'],
    [{ quant_method: "awq" }, '"quant_method"', '"gptq"', '"awq"'],
    [{ zero_point: true, version: "GEMM" }, '"quant_method"', '"awq"'],
    [{ checkpoint_format: "marlin" }, '"checkpoint_format"', '"gptq" or "gptq_v2"', '"marlin"'],
    [{ is_marlin_format: true }, '"is_marlin_format"', "found true"],
    [{ lm_head: true }, '"lm_head"', "found true"],
    [{ dynamic: { "-:mlp": {} } }, '"dynamic"', "an object"],
    [{ desc_act: "yes" }, '"desc_act"', '"yes"'],
  ];
  for (const [changes, ...words] of cases) {
    await refused(() => parse({ ...MAIN_BRANCH, ...changes }), "a.json", ...words);
  }
  await refused(() => parse(), "folder", "quantize_config.json", "GPTQ");
});

Deno.test("quantization: 4544 inputs are 35.5 groups of 128", () => {
  assert.equal(groupCount(4544, 128), 36);
  assert.equal(groupCount(4544, 64), 71);
  assert.equal(groupCount(4544, 0), 1);
  assert.equal(groupCount(192, 1024), 1);
});
