/** How the page is served: to whom, with which headers, and from where. */
import assert from "node:assert/strict";
import { testApp } from "../routes/helpers.ts";

const FOLDER = new URL("../../routes/page/", import.meta.url);
const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

Deno.test("GET / is the page for a browser and TGI's health for everybody else", async () => {
  const { app } = testApp();
  const cases: [accept: string | undefined, type: string][] = [
    [BROWSER, "text/html; charset=utf-8"],
    ["text/html", "text/html; charset=utf-8"],
    ["*/*", "application/json"],
    [undefined, "application/json"],
    ["application/json", "application/json"],
    ["application/json, text/html;q=0.5", "application/json"],
  ];
  for (const [accept, type] of cases) {
    const response = await app.request("/", { headers: accept ? { accept } : {} });
    assert.equal(response.status, 200, accept);
    assert.equal(response.headers.get("content-type"), type, accept);
    assert.match(response.headers.get("vary")!, /\bAccept\b/i);
    const text = await response.text();
    if (type === "application/json") assert.deepEqual(JSON.parse(text), { status: "ready" });
    else assert.match(text, /^<!DOCTYPE html>/);
  }
});

Deno.test("the page is there while the model loads", async () => {
  const { app } = testApp({ state: "loading" });
  const response = await app.request("/", { headers: { accept: BROWSER } });
  assert.equal(response.status, 200);
  await response.body!.cancel();
});

// What an import of text promises: the files are part of the program.
Deno.test({
  name: "every file of the page is served as it lies, with its type, and without permissions",
  permissions: { read: [FOLDER] },
  fn: async () => {
    const { app } = testApp();
    const types: Record<string, string> = {
      js: "text/javascript; charset=utf-8",
      css: "text/css; charset=utf-8",
      svg: "image/svg+xml; charset=utf-8",
    };
    const served = [];
    for (const { name } of Deno.readDirSync(FOLDER)) {
      if (["index.html", "deno.json"].includes(name)) continue;
      const response = await app.request(`/page/${name}`);
      assert.equal(response.status, 200, name);
      assert.equal(response.headers.get("content-type"), types[name.split(".").at(-1)!]);
      assert.equal(await response.text(), Deno.readTextFileSync(new URL(name, FOLDER)), name);
      served.push(name);
    }
    assert.ok(served.length > 20);
    const others = ["index.html", "deno.json", "nothing.js", "constructor", "..%2Fapp.ts"];
    for (const name of others) {
      assert.equal((await app.request(`/page/${name}`)).status, 404, name);
    }
  },
});

Deno.test("what the page names is there", () => {
  const html = Deno.readTextFileSync(new URL("index.html", FOLDER));
  const named = [...html.matchAll(/(?:href|src)="page\/([^"]+)"/g)].map(([, name]) => name!);
  assert.ok(named.length >= 5);
  const imported = [...Deno.readDirSync(FOLDER)].filter(({ name }) => name.endsWith(".js"))
    .flatMap(({ name }) => {
      const text = Deno.readTextFileSync(new URL(name, FOLDER));
      return [...text.matchAll(/from "\.\/([^"]+)"/g)].map(([, name]) => name!);
    });
  const files = new Set([...Deno.readDirSync(FOLDER)].map(({ name }) => name));
  for (const name of [...named, ...imported]) assert.ok(files.has(name), name);
});

Deno.test("a file is sent again only when it has changed", async () => {
  const { app } = testApp();
  for (const [path, accept] of [["/", BROWSER], ["/page/main.js", "*/*"]] as const) {
    const first = await app.request(path, { headers: { accept } });
    const tag = first.headers.get("etag")!;
    assert.match(tag, /^"[0-9a-f]{40,}"$/, "a strong tag");
    assert.equal(first.headers.get("cache-control"), "no-cache");
    await first.body!.cancel();
    const headers = { accept, "if-none-match": tag };
    const second = await app.request(path, { headers });
    assert.equal(second.status, 304);
    assert.equal(await second.text(), "");
    assert.equal(second.headers.get("etag"), tag);
    const other = await app.request(path, { headers: { accept, "if-none-match": '"0"' } });
    assert.equal(other.status, 200);
    await other.body!.cancel();
  }
});

Deno.test("the policy lets nothing in but these files", async () => {
  const { app } = testApp();
  const response = await app.request("/", { headers: { accept: BROWSER } });
  const policy = new Map(
    response.headers.get("content-security-policy")!.split("; ").map((rule) => {
      const [name, ...values] = rule.split(" ");
      return [name!, values.join(" ")];
    }),
  );
  assert.equal(policy.get("default-src"), "'none'");
  assert.equal(policy.get("script-src"), "'self'");
  assert.equal(policy.get("style-src"), "'self'");
  assert.equal(policy.get("connect-src"), "'self'");
  assert.equal(policy.get("frame-ancestors"), "'none'");
  assert.doesNotMatch([...policy.values()].join(" "), /unsafe|\*|https?:|data:/);
  assert.equal(response.headers.get("x-content-type-options"), "nosniff");
  // The policy would break these, silently for a reader.
  const html = await response.text();
  assert.doesNotMatch(html, /\sstyle=|\son[a-z]+=|<style|<script(?![^>]*\ssrc=)/);
});
