/** Bytes a token, worked out by hand from a small model's shapes. */
import assert from "node:assert/strict";
import { Falcon } from "../../model/falcon.ts";
import { tokenBytes, traffic } from "../../model/traffic.ts";
import { withGpu } from "../helpers.ts";
import { withSynthetic } from "./synthetic.ts";

Deno.test("traffic: packed weights, a scale and zero a group, a bias, the cache, the head", () =>
  withSynthetic({}, (dir) =>
    withGpu(async (gpu) => {
      // 192 wide, 3 heads of 64, 2 layers, 512 tokens; 2 groups of 192 inputs, 6 of 768.
      const { config, weights } = await Falcon.load(gpu, dir);
      const found = traffic(config, weights, 10);
      assert.deepEqual(found, {
        qkv: 2 * 320 * (192 / 2 + 2 * 4 + 4),
        up: 2 * 768 * (192 / 2 + 2 * 4 + 4),
        down: 2 * 192 * (768 / 2 + 6 * 4 + 4),
        dense: 2 * 192 * (192 / 2 + 2 * 4 + 4),
        attention: 10 * 2 * 2 * 64 * 2,
        norm_qkv_up: 2 * (320 + 768) * (192 / 2 + 2 * 4 + 4),
        combine_dense: 2 * 192 * (192 / 2 + 2 * 4 + 4),
        row_attention: 10 * 2 * 2 * 64 * 2,
        decode_layers: 2 * (108 * (320 + 768 + 192) + 412 * 192) + 5120,
        head: 512 * 192 * 2,
      });
      assert.equal(tokenBytes(found), found.decode_layers + found.head);
    })));
