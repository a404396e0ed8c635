/** The OpenAPI document: valid, complete, and true of what the routes take and answer. */
import assert from "node:assert/strict";
import { Validator } from "@seriousme/openapi-schema-validator";
import type { z } from "zod";
import { OPERATIONS } from "../../routes/docs/document.ts";
import { END_OF_TEXT, ids, jsonPost, testApp } from "./helpers.ts";

async function document() {
  const { app } = testApp();
  return await (await app.request("/openapi.json")).json();
}

Deno.test("the document is valid OpenAPI 3.1", async () => {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(await document());
  assert.ok(valid, JSON.stringify(errors, null, 2));
  assert.equal(validator.version, "3.1");
  // The validator does find mistakes.
  const broken = { ...await document(), paths: { "no-slash": {} } };
  assert.equal((await new Validator().validate(broken)).valid, false);
});

Deno.test("every route is in the document, and nothing else", async () => {
  const { app } = testApp();
  const registered = app.routes.filter(({ method }) => method !== "ALL").map(({ method, path }) =>
    `${method} ${path.replace(/:(\w+)(\{[^}]*\})?/g, "{$1}")}`
  );
  const { paths } = await document();
  const documented = Object.entries(paths as Record<string, object>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)
  );
  assert.deepEqual(documented.sort(), [...new Set(registered)].sort());
  assert.ok(documented.includes("POST /generate") && documented.includes("POST /api/v1/generate"));
});

Deno.test("every reference leads somewhere, and every operation has an id of its own", async () => {
  const json = await document();
  const text = JSON.stringify(json);
  const references = Array.from(text.matchAll(/"\$ref":"([^"]*)"/g), ([, path]) => path!);
  assert.ok(references.length > 10);
  for (const path of references) {
    assert.ok(json.components.schemas[path.replace("#/components/schemas/", "")], path);
  }
  assert.doesNotMatch(text, /\$schema|\$id/);
  const operationIds = Array.from(text.matchAll(/"operationId":"([^"]*)"/g), ([, id]) => id);
  assert.equal(new Set(operationIds).size, OPERATIONS.length);
});

Deno.test("requests have the fields and bounds that are checked", async () => {
  const { components: { schemas: { TgiRequest, TgiParameters, KoboldRequest } } } =
    await document();
  assert.deepEqual(Object.keys(TgiRequest.properties), ["inputs", "parameters", "stream"]);
  assert.deepEqual(TgiRequest.required, ["inputs"]);
  assert.deepEqual(TgiParameters.properties.max_new_tokens.anyOf, [
    { type: "integer", minimum: 0, maximum: 4294967295 },
    { type: "null" },
  ]);
  assert.deepEqual(KoboldRequest.properties.top_p.anyOf, [
    { type: "number", minimum: 0, maximum: 1 },
    { type: "null" },
  ]);
  for (const [name, field] of Object.entries<{ description?: string }>(TgiParameters.properties)) {
    assert.ok(field.description, name);
  }
});

/** What a schema says of a value, and nothing that it leaves out. */
function assertMatches(schema: z.ZodType, value: unknown, what: string) {
  const { data, error } = schema.safeParse(value);
  assert.equal(error, undefined, what);
  assert.deepEqual(data, value, what);
}

Deno.test("the example of every operation works, and its answer is as described", async () => {
  for (const operation of OPERATIONS) {
    const { method, body, example, answer, events, otherType } = operation;
    const path = operation.path.replace(/\{(\w+)\}/g, (_, name) => operation.params![name]!);
    const what = `${method} ${path}`;
    const info = { model: "claire-tiny" };
    const { app } = testApp({ script: [...ids("oui"), END_OF_TEXT], info });
    assert.equal(Boolean(body), Boolean(example), what);
    if (answer || otherType) {
      const response = await app.request(path, example ? jsonPost(example) : {});
      assert.equal(response.status, 200, what);
      const type = response.headers.get("content-type")!;
      if (answer) assertMatches(answer, await response.json(), what);
      else assert.ok(type.startsWith(otherType!) && (await response.text()).length > 0, what);
    }
    if (events) {
      const response = await app.request(path, jsonPost({ ...example, stream: true }));
      assert.equal(response.headers.get("content-type"), "text/event-stream", what);
      const data = Array.from(
        (await response.text()).matchAll(/^data: (.*)$/gm),
        ([, json]) => json!,
      );
      assert.ok(data.length >= 4, what);
      for (const json of data.filter((json) => json !== "[DONE]")) {
        assertMatches(events, JSON.parse(json), what);
      }
    }
  }
});

Deno.test("answers with every detail are as described", async () => {
  const find = (wanted: string) => OPERATIONS.find(({ path }) => path === wanted)!;
  const { post } = testApp({ script: ids("oui") });
  const parameters = { top_n_tokens: 2, details: true, max_new_tokens: 3, do_sample: true };
  const whole = { ...parameters, decoder_input_details: true, best_of: 2 };
  const answer = await (await post("/generate", { inputs: "x", parameters: whole })).json();
  assert.equal(answer.details.best_of_sequences.length, 1);
  assertMatches(find("/generate").answer!, answer, "/generate");
  const stream = await (await post("/generate_stream", { inputs: "x", parameters })).text();
  const last = JSON.parse(stream.trim().split("data: ").at(-1)!);
  assert.ok(last.top_tokens && last.details);
  assertMatches(find("/generate_stream").events!, last, "/generate_stream");
});

Deno.test("/docs is a page that needs nothing from elsewhere and nothing inline", async () => {
  const { app } = testApp();
  const response = await app.request("/docs");
  assert.match(response.headers.get("content-type")!, /^text\/html; charset=utf-8$/i);
  const page = await response.text();
  assert.match(page, /^\s*<!DOCTYPE html>/i);
  for (const { path, summary } of OPERATIONS) {
    assert.ok(page.includes(path), path);
    assert.ok(page.includes(summary.split("`")[0]!.replaceAll("'", "&#39;")), summary);
  }
  assert.doesNotMatch(page, /<script|<style|\sstyle=|\son\w+=|undefined|\[object/);
  const links = Array.from(page.matchAll(/(?:href|src)="([^"]*)"/g), ([, link]) => link!);
  assert.ok(links.length > 20);
  const anchors = new Set(Array.from(page.matchAll(/\sid="([^"]*)"/g), ([, id]) => id));
  for (const link of links) {
    if (link.startsWith("#")) assert.ok(anchors.has(link.slice(1)), link);
    else assert.ok((await app.request(new URL(link, "http://x/docs").pathname)).ok, link);
  }
  assert.doesNotMatch(await (await app.request("/docs/style.css")).text(), /url\(|@import/);
});

Deno.test("an example on the page reaches a shell as the body that it is", async () => {
  const { app } = testApp();
  const page = await (await app.request("/docs")).text();
  const [, line] = /<code>(curl [^<]*\/generate -H [^<]*)<\/code>/.exec(page)!;
  const unescaped = line!.replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll(
    "&amp;",
    "&",
  );
  const script = `curl() { for last; do :; done; printf '%s' "$last"; }\n${unescaped}`;
  const { stdout } = await new Deno.Command("sh", { args: ["-c", script] }).output();
  const { example } = OPERATIONS.find(({ path }) => path === "/generate")!;
  assert.deepEqual(JSON.parse(new TextDecoder().decode(stdout)), example);
});
