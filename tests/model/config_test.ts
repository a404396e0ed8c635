import assert from "node:assert/strict";
import { parseFalconConfig } from "../../model/config.ts";
import { refused } from "./checkpoint/damaged.ts";

/** What config.json of Falcon-7B says, as Transformers writes it. */
const FALCON_7B = {
  model_type: "falcon",
  hidden_size: 4544,
  num_hidden_layers: 32,
  num_attention_heads: 71,
  num_kv_heads: 71,
  vocab_size: 65024,
  multi_query: true,
  parallel_attn: true,
  new_decoder_architecture: false,
  alibi: false,
  bias: false,
  layer_norm_epsilon: 1e-5,
  bos_token_id: 11,
  eos_token_id: 11,
};

const EXPECTED = {
  hiddenSize: 4544,
  layers: 32,
  heads: 71,
  headDim: 64,
  ffnSize: 18176,
  vocabSize: 65024,
  layerNormEpsilon: 1e-5,
  ropeTheta: 10000,
  maxPositions: 2048,
  bosTokenId: 11,
  eosTokenId: 11,
  linearBias: false,
};

function parse(changes: Record<string, unknown>) {
  return parseFalconConfig({ ...FALCON_7B, ...changes }, "config.json");
}

Deno.test("config: Falcon-7B as it is written", () => {
  assert.deepEqual(parse({}), EXPECTED);
});

Deno.test("config: absent and null keys take Falcon-7B's values", () => {
  assert.deepEqual(parseFalconConfig({ model_type: "falcon" }, "config.json"), EXPECTED);
  assert.deepEqual(
    parse({ ffn_hidden_size: null, num_kv_heads: null, rope_scaling: null }),
    EXPECTED,
  );
});

Deno.test("config: the key names of the first Falcon files", () => {
  const old = {
    model_type: "RefinedWebModel",
    n_embed: 128,
    n_layer: 3,
    n_head: 2,
    vocab_size: 100,
  };
  const config = parseFalconConfig(old, "config.json");
  assert.deepEqual(
    [config.hiddenSize, config.layers, config.heads, config.headDim, config.ffnSize],
    [128, 3, 2, 64, 512],
  );
});

Deno.test("config: rope_theta stands alone or in rope_parameters", () => {
  assert.equal(parse({ rope_theta: 500000 }).ropeTheta, 500000);
  const rope_parameters = { rope_type: "default", rope_theta: 25000 };
  assert.equal(parse({ rope_parameters }).ropeTheta, 25000);
});

Deno.test("config: other values that run", () => {
  assert.equal(parse({ ffn_hidden_size: 9088 }).ffnSize, 9088);
  assert.equal(parse({ max_position_embeddings: 8192 }).maxPositions, 8192);
  assert.equal(parse({ eos_token_id: [7, 11] }).eosTokenId, 7);
  assert.equal(parse({ eos_token_id: null }).eosTokenId, null);
  assert.equal(parse({ eos_token_id: [] }).eosTokenId, null);
  assert.equal(parse({ bias: true }).linearBias, true);
  assert.equal(parse({ num_kv_heads: 1 }).heads, 71);
  assert.equal(parse({ activation: "gelu", tie_word_embeddings: false }).layers, 32);
});

Deno.test("config: what Clairon does not run is refused by name", async () => {
  const cases: [changes: Record<string, unknown>, ...words: string[]][] = [
    [{ alibi: true }, '"alibi"', "false", "found true"],
    [{ new_decoder_architecture: true }, '"new_decoder_architecture"', "found true"],
    [{ multi_query: false }, '"multi_query"', "found false"],
    [{ parallel_attn: false }, '"parallel_attn"', "found false"],
    [{ num_ln_in_parallel_attn: 2 }, '"num_ln_in_parallel_attn"', "1", "found 2"],
    [{ num_kv_heads: 8 }, '"num_kv_heads"', "1", "found 8"],
    [{ activation: "gelu_new" }, '"activation"', '"gelu"', '"gelu_new"'],
    [{ activation: "relu" }, '"activation"', '"relu"'],
    [{ model_type: "llama" }, '"model_type"', '"falcon"', '"llama"'],
    [{ model_type: "RefinedWeb" }, '"model_type"', '"RefinedWeb"'],
    [{ model_type: undefined }, '"model_type"', "found nothing"],
    [{ rope_scaling: { type: "linear", factor: 2 } }, "rope_scaling", '"type"', '"linear"'],
    [{ rope_scaling: { factor: 4 } }, "rope_scaling", '"factor"', "found 4"],
    [{ rope_parameters: { rope_type: "yarn" } }, "rope_parameters", '"yarn"'],
    [{ rope_parameters: { partial_rotary_factor: 0.5 } }, '"partial_rotary_factor"', "0.5"],
  ];
  for (const [changes, ...words] of cases) await refused(() => parse(changes), ...words);
});

Deno.test("config: shapes that the kernels cannot read are refused", async () => {
  await refused(() => parse({ hidden_size: 4545 }), '"hidden_size"', "71 heads", "4545");
  const small = { num_kv_heads: 1 };
  const shape = (hidden_size: number, num_attention_heads: number) =>
    parse({ ...small, hidden_size, num_attention_heads });
  await refused(() => shape(96, 8), "head size", "96 / 8 = 12");
  await refused(() => shape(512, 2), "head size", "8 to 128", "256");
  await refused(() => shape(48, 1), "hidden size", "multiple of 32", "48");
  await refused(() => parse({ ffn_hidden_size: 100 }), "MLP size", "multiple of 32", "100");
  assert.equal(shape(64, 8).headDim, 8);
  assert.equal(shape(256, 2).headDim, 128);
});

Deno.test("config: malformed and contradictory values are refused", async () => {
  await refused(() => parseFalconConfig([], "c.json"), "c.json", "a JSON object", "a list");
  await refused(() => parseFalconConfig(null, "c.json"), "c.json", "null");
  await refused(() => parse({ hidden_size: "4544" }), '"hidden_size"', '"4544"');
  await refused(() => parse({ num_hidden_layers: 0 }), '"num_hidden_layers"', "found 0");
  await refused(() => parse({ vocab_size: 1.5 }), '"vocab_size"', "whole", "1.5");
  await refused(() => parse({ vocab_size: 2 ** 40 }), '"vocab_size"', "1099511627776");
  await refused(() => parse({ layer_norm_epsilon: -1 }), '"layer_norm_epsilon"', "-1");
  await refused(() => parse({ rope_theta: Infinity }), '"rope_theta"', "Infinity");
  await refused(() => parse({ bias: "no" }), '"bias"', "true or false", '"no"');
  await refused(() => parse({ eos_token_id: 65024 }), '"eos_token_id"', "below 65024");
  await refused(() => parse({ eos_token_id: [11, "x"] }), '"eos_token_id"', '"x"');
  await refused(() => parse({ n_layer: 31 }), '"n_layer"', "32", '"num_hidden_layers"', "31");
  const rope_parameters = { rope_theta: 1 };
  await refused(() => parse({ rope_theta: 2, rope_parameters }), '"rope_theta"', "2", "1");
});
