/**
 * What holds on every route there is: no request gives a 5xx, and every refusal is in the shape of
 * the route's API. Routes come from the app, fields from its own OpenAPI document.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Json } from "../../routes/docs/document.ts";
import { FOREVER, testApp, withServer } from "./helpers.ts";
import { raw, statusOf } from "./raw.ts";

const JSON_TYPE = { "content-type": "application/json" };

interface Route {
  method: string;
  path: string;
}

function routesOf({ app }: ReturnType<typeof testApp>): Route[] {
  const routes = app.routes.filter(({ method }) => method !== "ALL");
  return [...new Map(routes.map(({ method, path }) => [method + path, { method, path }])).values()];
}

/** Fails unless the JSON is an error as clients of this path's API know it. */
function assertErrorShape(path: string, text: string) {
  const json = JSON.parse(text);
  if (path.startsWith("/api/")) {
    assert.deepEqual(Object.keys(json), ["detail"], text);
  } else if (path.startsWith("/v1/") && !/^\/v1\/(dialogues|prompts)/.test(path)) {
    assert.deepEqual(Object.keys(json), ["error"], text);
    assert.deepEqual(Object.keys(json.error).sort(), ["code", "message", "param", "type"], text);
    assert.equal(typeof json.error.message, "string", text);
  } else {
    assert.equal(typeof json.error, "string", text);
    assert.equal(typeof json.error_type, "string", text);
  }
}

/** Values that nearly fit a schema: its fields, mostly of the right type, not always. */
function nearly(schema: Json, schemas: Record<string, Json>): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 60, arbitrary: fitting(schema, schemas) },
    { weight: 1, arbitrary: fc.jsonValue() },
  );
}

function fitting(schema: Json, schemas: Record<string, Json>): fc.Arbitrary<unknown> {
  const { $ref, anyOf, properties, type, items, maxItems, enum: values } = schema;
  if (typeof $ref === "string") return nearly(schemas[$ref.split("/").at(-1)!]!, schemas);
  if (Array.isArray(anyOf)) {
    return fc.oneof(...(anyOf as Json[]).map((option) => nearly(option, schemas)));
  }
  if (properties) return fields(schema, schemas);
  if ("const" in schema) return fc.constant(schema.const);
  if (Array.isArray(values)) return fc.constantFrom(...values);
  switch (type) {
    case "array": {
      const maxLength = Math.min(5, Number(maxItems ?? 5));
      return fc.array(nearly((items ?? {}) as Json, schemas), { maxLength });
    }
    case "integer":
      return fc.oneof(
        { weight: 20, arbitrary: fc.integer({ min: 1, max: 3 }) },
        fc.integer({ min: -2, max: 99 }),
        fc.constantFrom(2 ** 31, 2 ** 53, 2 ** 64, 1e308),
      );
    case "number":
      return fc.oneof(
        { weight: 20, arbitrary: fc.double({ min: 0.1, max: 0.9 }) },
        fc.double(),
      );
    case "boolean":
      return fc.boolean();
    case "string":
      return fc.oneof(fc.string({ unit: "binary", minLength: 1, maxLength: 12 }), fc.constant(""));
    default:
      return fc.jsonValue();
  }
}

/** An object with the fields that must be there, and a few of the others. */
function fields(schema: Json, schemas: Record<string, Json>): fc.Arbitrary<unknown> {
  const properties = schema.properties as Record<string, Json>;
  const required = (schema.required ?? []) as string[];
  const optional = Object.keys(properties).filter((name) => !required.includes(name));
  return fc.subarray(optional, { maxLength: Math.min(4, optional.length) }).chain((chosen) =>
    fc.record(
      Object.fromEntries(
        [...required, ...chosen].map((name) => [name, nearly(properties[name]!, schemas)]),
      ),
    )
  );
}

Deno.test("no JSON body gives any route a 5xx, and every refusal is in its API's shape", async () => {
  const test = testApp({ info: { maxPositions: 60 } });
  const { paths, components: { schemas } } = await (await test.app.request("/openapi.json")).json();
  for (const { method, path } of routesOf(test).filter(({ method }) => method === "POST")) {
    const schema = paths[path].post.requestBody.content["application/json"].schema;
    const bodies = fc.oneof(
      { weight: 9, arbitrary: nearly(schema, schemas) },
      { weight: 1, arbitrary: fc.jsonValue() },
    );
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        const init = { method, headers: JSON_TYPE, body: JSON.stringify(body) ?? "null" };
        const response = await test.app.request(path, init);
        const text = await response.text();
        assert.ok(response.status < 500, `${path} ${response.status} ${text}`);
        if (response.status >= 400) assertErrorShape(path, text);
      }),
      { numRuns: 100 },
    );
  }

  assert.ok(test.engine.requests.length > 30);
  assert.ok(test.log.every(({ fault }) => fault === undefined));
});

Deno.test("no bytes, content types or methods give any route a 5xx", async () => {
  const test = testApp({ info: { maxPositions: 60 } });
  const routes = routesOf(test);
  const types = ["application/json", "text/plain", "multipart/form-data", "application/x+json", ""];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...routes),
      fc.constantFrom("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "GET", "HEAD"),
      fc.constantFrom(...types),
      fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constantFrom('{"a":', "null", "[]", "{}", "")),
      async ({ path }, method, type, bytes) => {
        const bodiless = method === "GET" || method === "HEAD";
        const response = await test.app.request(path, {
          method,
          headers: { "content-type": type },
          ...(!bodiless && { body: typeof bytes === "string" ? bytes : new Uint8Array(bytes) }),
        });
        const text = await response.text();
        assert.ok(response.status < 500, `${method} ${path} ${response.status} ${text}`);
        if (response.status >= 400 && method !== "HEAD") assertErrorShape(path, text);
      },
    ),
    { numRuns: 600 },
  );
});

Deno.test("every route says 405 with the methods it takes, and 404 beside it", async () => {
  const test = testApp();
  for (const { method, path } of routesOf(test)) {
    const response = await test.app.request(path, { method: "DELETE" });
    assert.equal(response.status, 405, path);
    assert.ok(response.headers.get("allow")!.split(", ").includes(method), path);
    assertErrorShape(path, await response.text());
    const beside = await test.app.request(`${path === "/" ? "" : path}/..%2fx`, { method });
    assert.equal(beside.status, 404, path);
  }
});

Deno.test("every route that reads a body limits it, chunked or not, without reading it all", async () => {
  const test = testApp();
  await withServer(test.app, async (_url, port) => {
    const chunk = `10000\r\n${" ".repeat(0x10000)}\r\n`;
    for (const { method, path } of routesOf(test).filter(({ method }) => method === "POST")) {
      const head = (lines: string) =>
        `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n` +
        `Content-Type: application/json\r\n${lines}\r\n\r\n`;
      const declared = await raw(port, [head("Content-Length: 2000001"), "{"]);
      const chunked = await raw(port, [
        head("Transfer-Encoding: chunked"),
        ...Array(40).fill(chunk),
      ]);
      for (const answer of [declared, chunked]) {
        assert.equal(statusOf(answer), 413, `${path} ${answer.slice(0, 200)}`);
        assertErrorShape(path, answer.slice(answer.indexOf("\r\n\r\n") + 4));
      }
    }
  });
  assert.equal(test.engine.requests.length, 0);
});

Deno.test("hostile requests are answered with 4xx, and the server lives on", async () => {
  const { app, log } = testApp();
  await withServer(app, async (url, port) => {
    const request = (line: string, headers: string[], body = "") =>
      raw(port, [`${line}\r\n${[...headers, "Connection: close"].join("\r\n")}\r\n\r\n${body}`]);
    const host = "Host: localhost";
    const cases: [name: string, answer: Promise<string>, statuses: number[]][] = [
      ["a huge header", request("GET /health HTTP/1.1", [host, `X: ${"a".repeat(1e6)}`]), [
        400,
        431,
      ]],
      [
        "many headers",
        request("GET /health HTTP/1.1", [
          host,
          ...Array.from({ length: 500 }, (_, i) => `X${i}: 1`),
        ]),
        [400, 431],
      ],
      ["no method", request("/ HTTP/1.1", [host]), [400]],
      ["an unknown method", request("BREW /generate HTTP/1.1", [host]), [405, 400]],
      ["a path with NUL", request("GET /%00 HTTP/1.1", [host]), [404]],
      ["a path that climbs", request("GET /docs/../../etc/passwd HTTP/1.1", [host]), [404]],
      ["a path that climbs, escaped", request("GET /docs/%2e%2e/x HTTP/1.1", [host]), [404]],
      ["bad escapes", request("GET /%zz%ff HTTP/1.1", [host]), [404]],
      ["a Host that is no host", request("GET /x HTTP/1.1", ["Host: a b"]), [400, 404]],
      [
        "two lengths",
        request("POST /generate HTTP/1.1", [host, "Content-Length: 2", "Content-Length: 3"], "{}"),
        [400],
      ],
      [
        "a length that is no number",
        request("POST /generate HTTP/1.1", [host, "Content-Length: -1"], "{}"),
        [400],
      ],
      [
        "a chunk size that is no number",
        request(
          "POST /generate HTTP/1.1",
          [host, "Content-Type: application/json", "Transfer-Encoding: chunked"],
          "zz\r\n{}\r\n0\r\n\r\n",
        ),
        // Deno closes the connection.
        [400, NaN],
      ],
      [
        "a request id with a line break in it",
        request("GET /health HTTP/1.1", [host, "X-Request-Id: a\x0bb"]),
        [200, 400],
      ],
    ];
    for (const [name, answer, statuses] of cases) {
      assert.ok(
        statuses.includes(statusOf(await answer)),
        `${name}: ${(await answer).slice(0, 99)}`,
      );
    }
    assert.equal((await fetch(`${url}/health`)).status, 200);
  });
  assert.ok(log.every(({ fault }) => fault === undefined));
  assert.doesNotMatch(JSON.stringify(log.map(({ id }) => id)), /\\u000b/);
});

Deno.test("an engine that is full or not there is told in each API's shape", async () => {
  const body = JSON.stringify({ inputs: "x", prompt: "x" });
  const init = { method: "POST", headers: JSON_TYPE, body };
  const paths = ["/generate", "/generate_stream", "/api/v1/generate", "/api/extra/generate/stream"];
  for (const [state, status] of [["loading", 503], ["draining", 503], ["lost", 424]] as const) {
    const { app } = testApp({ state });
    for (const path of paths) {
      const response = await app.request(path, init);
      assert.equal(response.status, status, path);
      assertErrorShape(path, await response.text());
    }
  }
  const { app } = testApp({ capacity: 0, delay: FOREVER });
  for (const path of paths) {
    const response = await app.request(path, init);
    assert.equal(response.status, path.startsWith("/api/") ? 503 : 429);
    assert.equal(response.headers.get("retry-after"), "1");
    assertErrorShape(path, await response.text());
  }
});
