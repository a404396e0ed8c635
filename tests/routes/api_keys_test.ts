/** Bearer keys: which routes need one, what a client without one is told, what is never told. */
import assert from "node:assert/strict";
import { jsonPost, testApp } from "./helpers.ts";

const KEYS = ["first-key", "s3cr3t+/=~!"];

/** Routes that need no key: what an orchestrator or Prometheus asks, and the page. */
const OPEN = ["GET /", "GET /health", "GET /metrics", "GET /page/:file", "GET /ping"];

Deno.test("every registered route needs a key but health, metrics and the page", async () => {
  const { app } = testApp({}, {}, { keys: KEYS });
  const routes = app.routes.filter(({ method }) => method !== "ALL");
  assert.ok(routes.length > 15);
  const open = [];
  for (const { method, path } of routes) {
    for (const authorization of ["", "Bearer wrong"]) {
      const headers = authorization ? { authorization } : new Headers();
      const { status } = await app.request(path, { method, headers });
      if (status !== 401) open.push(`${method} ${path}`);
    }
  }
  assert.deepEqual([...new Set(open)].sort(), OPEN);
  for (const [method, path] of [["GET", "/no/such"], ["PUT", "/generate"], ["OPTIONS", "/info"]]) {
    assert.equal((await app.request(path!, { method: method! })).status, 401);
  }
});

Deno.test("each key opens, in any spelling of the scheme; nothing like a key does", async () => {
  const { app } = testApp({}, {}, { keys: KEYS });
  const status = async (authorization: string) =>
    (await app.request("/info", { headers: { authorization } })).status;
  for (const key of KEYS) {
    for (const scheme of ["Bearer", "bearer", "BEARER", "Bearer "]) {
      assert.equal(await status(`${scheme} ${key}`), 200);
    }
  }
  const wrong = [
    ...["first-key", "Basic first-key", "Bearerfirst-key", "Bearer", "Bearer ", "bearer  x y"],
    ...["Bearer first-ke", "Bearer first-keyy", "Bearer FIRST-KEY", "Bearer first-key,s3cr3t+/=~!"],
    ...["Bearer first-key first-key", "Bearer undefined", 'Bearer "first-key"'],
  ];
  for (const authorization of wrong) assert.equal(await status(authorization), 401, authorization);
  assert.equal((await app.request("/info?api_key=first-key")).status, 401);
});

Deno.test("401 in each API's shape, with the challenge of RFC 6750", async () => {
  const { app } = testApp({}, {}, { keys: KEYS });
  const needed = "A key is needed: Authorization: Bearer KEY";
  const bodies: Record<string, string> = {
    "/generate": "",
    "/info": "",
    "/v1/models": JSON.stringify({
      error: {
        message: needed,
        type: "invalid_request_error",
        param: null,
        code: "invalid_api_key",
      },
    }),
    "/v1/dialogues": JSON.stringify({ error: needed, error_type: "unauthorized" }),
    "/api/v1/model": JSON.stringify({ detail: { msg: needed, type: "unauthorized" } }),
  };
  for (const [path, body] of Object.entries(bodies)) {
    const response = await app.request(path);
    assert.deepEqual([response.status, await response.text()], [401, body]);
    assert.equal(response.headers.get("www-authenticate"), 'Bearer realm="clairon"');
  }
  const wrong = await app.request("/info", { headers: { authorization: "Bearer x" } });
  assert.equal(
    wrong.headers.get("www-authenticate"),
    'Bearer realm="clairon", error="invalid_token"',
  );
});

Deno.test("the log has no key, right or wrong, and nothing is computed for a wrong one", async () => {
  const { app, log, engine } = testApp({}, {}, { keys: KEYS });
  for (const key of ["first-key", "wr0ng-key"]) {
    const post = jsonPost({ inputs: "x", parameters: { max_new_tokens: 1 } });
    const headers = { ...post.headers, authorization: `Bearer ${key}` };
    await (await app.request("/generate", { ...post, headers })).text();
  }
  assert.deepEqual(log.map(({ status, error }) => [status, error]), [
    [200, undefined],
    [401, "unauthorized"],
  ]);
  assert.doesNotMatch(JSON.stringify(log), /first-key|wr0ng/);
  assert.equal(engine.requests.length, 1);
});

Deno.test("without keys, a key that is sent changes nothing", async () => {
  const { app } = testApp();
  const headers = { authorization: "Bearer anything" };
  assert.equal((await app.request("/info", { headers })).status, 200);
});
