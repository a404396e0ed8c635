/** What the server says of itself. */
import assert from "node:assert/strict";
import { banner, serverUrl } from "../../routes/banner.ts";
import { FakeEngine } from "../model/fake_engine.ts";

Deno.test("serverUrl() is an address that a client can reach", () => {
  assert.equal(serverUrl("127.0.0.1", 8080), "http://127.0.0.1:8080");
  assert.equal(serverUrl("0.0.0.0", 1), "http://127.0.0.1:1");
  assert.equal(serverUrl("::", 1), "http://127.0.0.1:1");
  assert.equal(serverUrl("::1", 1), "http://[::1]:1");
  assert.equal(serverUrl("gpu.example", 80), "http://gpu.example:80");
});

Deno.test("the banner names the adapter, and says when it is a CPU", () => {
  const info = { ...new FakeEngine().info, adapter: "NVIDIA H200", software: false, groupSize: -1 };
  const text = banner("http://x:1", {
    ...info,
    gpuMemoryBytes: 4.5 * 2 ** 30,
    loadSeconds: 12.34,
    slots: 128,
    kvTokens: 262144,
    kvBytes: 2 ** 31,
  });
  assert.match(text, /^Clairon is ready on http:\/\/x:1\n/);
  assert.match(text, / adapter +NVIDIA H200\n/);
  assert.match(text, / \(4-bit, one group, act-order\)\n/);
  assert.match(text, / GPU memory +4\.50 GiB\n/);
  assert.match(text, / KV cache +2\.00 GiB of it: 262144 tokens, up to 128 answers at once\n/);
  assert.match(text, / loaded in +12\.3 s\n/);
  const slow = banner("http://x:1", { ...info, adapter: "llvmpipe", software: true });
  assert.match(slow, / adapter +llvmpipe \(software: a CPU /);
  assert.doesNotMatch(text, /Authorization/);
  assert.match(banner("http://x:1", info, true), / -H "Authorization: Bearer \$API_KEY" /);
});

Deno.test("the banner says when batches are computed in another way, and how coarse that is", () => {
  const { info } = new FakeEngine();
  assert.doesNotMatch(banner("http://x:1", info), / batches /);
  const coarse = banner("http://x:1", { ...info, activations: "int8", deterministic: true });
  assert.match(
    coarse,
    /\n {2}batches +int8, logits off by an NMSE of .+; deterministic\n {2}GPU memory/,
  );
});
