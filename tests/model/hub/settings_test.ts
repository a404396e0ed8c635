/** Hugging Face's variables, read as its own client documents them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { HubError } from "../../../model/hub/error.ts";
import { hubSettings } from "../../../model/hub/settings.ts";

Deno.test("without variables: the public hub, and the cache in the home folder", () => {
  assert.deepEqual(hubSettings({ HOME: "/nowhere" }), {
    endpoint: "https://huggingface.co",
    cache: "/nowhere/.cache/huggingface/hub",
    token: undefined,
    offline: false,
  });
});

Deno.test("the cache's folder, by precedence", () => {
  const all = {
    HF_HUB_CACHE: "/a",
    HUGGINGFACE_HUB_CACHE: "/b",
    HF_HOME: "/c",
    XDG_CACHE_HOME: "/d",
    HOME: "/e",
  };
  const cache = (variables: Record<string, string>) => hubSettings(variables).cache;
  assert.equal(cache(all), "/a");
  assert.equal(cache({ ...all, HF_HUB_CACHE: "" }), "/b");
  const { HF_HUB_CACHE: _a, HUGGINGFACE_HUB_CACHE: _b, ...rest } = all;
  assert.equal(cache(rest), "/c/hub");
  assert.equal(cache({ XDG_CACHE_HOME: "/d", HOME: "/e" }), "/d/huggingface/hub");
  assert.equal(cache({ HOME: "/e", HF_HOME: "~/models" }), "/e/models/hub");
  assert.equal(
    cache({ HOME: "/e", HF_HOME: "$DISK/x/${PART}", DISK: "/f", PART: "y" }),
    "/f/x/y/hub",
  );
  assert.throws(() => hubSettings({}), /set HF_HOME/);
});

Deno.test("the token: variable, old variable, file", async () => {
  const home = await Deno.makeTempDir();
  try {
    const token = (variables: Record<string, string>) =>
      hubSettings({ HF_HOME: home, ...variables }).token;
    assert.equal(token({}), undefined);
    await Deno.writeTextFile(join(home, "token"), "hf_file\n");
    assert.equal(token({}), "hf_file");
    assert.equal(token({ HF_TOKEN: " hf_new\r\n" }), "hf_new");
    assert.equal(token({ HUGGING_FACE_HUB_TOKEN: "hf_old" }), "hf_old");
    assert.equal(token({ HF_TOKEN: "hf_new", HUGGING_FACE_HUB_TOKEN: "hf_old" }), "hf_new");
    assert.equal(token({ HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }), undefined);
    await Deno.writeTextFile(join(home, "other"), "hf_other");
    assert.equal(token({ HF_TOKEN_PATH: join(home, "other") }), "hf_other");
    assert.throws(() => token({ HF_TOKEN: "hf_sécret" }), (error: Error) => {
      assert.ok(error instanceof HubError);
      assert.doesNotMatch(error.message, /cret/);
      return true;
    });
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

Deno.test("the endpoint is an address, without a slash at its end", () => {
  const endpoint = (text: string) => hubSettings({ HOME: "/e", HF_ENDPOINT: text }).endpoint;
  assert.equal(endpoint("http://127.0.0.1:80/"), "http://127.0.0.1:80");
  assert.equal(endpoint("https://mirror.example/hf//"), "https://mirror.example/hf");
  assert.equal(endpoint(""), "https://huggingface.co");
  for (const text of ["mirror.example", "ftp://x", "file:///etc"]) {
    assert.throws(() => endpoint(text), /HF_ENDPOINT must be an address/);
  }
});

Deno.test("offline is a switch as the Python client reads it", () => {
  for (const on of ["1", "true", "YES", "On"]) {
    assert.ok(hubSettings({ HOME: "/e", HF_HUB_OFFLINE: on }).offline);
    assert.ok(hubSettings({ HOME: "/e", TRANSFORMERS_OFFLINE: on }).offline);
  }
  for (const off of ["", "0", "false", "2"]) {
    assert.ok(!hubSettings({ HOME: "/e", HF_HUB_OFFLINE: off }).offline);
  }
});
