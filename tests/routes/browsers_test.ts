/** What web pages may do: CORS, the names the server answers to, and what a page may load. */
import assert from "node:assert/strict";
import { accessOf, exposure, isLoopback } from "../../routes/access.ts";
import { readSettings } from "../../routes/settings.ts";
import { jsonPost, testApp, withServer } from "./helpers.ts";
import { raw, statusOf } from "./raw.ts";

const APP = "https://app.example";
const BODY = { inputs: "a", parameters: { max_new_tokens: 1 } };

/** A POST as a page's `fetch` sends it. */
function pagePost(headers: Record<string, string>): RequestInit {
  return { ...jsonPost(BODY), headers: { "content-type": "application/json", ...headers } };
}

Deno.test("a preflight of an allowed origin is answered before any key is asked for", async () => {
  const { app } = testApp({}, {}, { origins: [APP, "http://localhost:3000"], keys: ["k"] });
  const preflight = (origin: string) =>
    app.request("/v1/chat/completions", {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
      },
    });
  for (const origin of [APP, "http://localhost:3000"]) {
    const { status, headers } = await preflight(origin);
    assert.equal(status, 204);
    assert.equal(headers.get("access-control-allow-origin"), origin);
    assert.equal(headers.get("access-control-allow-methods"), "GET,HEAD,POST");
    assert.equal(
      headers.get("access-control-allow-headers"),
      "authorization,content-type,x-stainless-lang",
    );
    assert.equal(headers.get("access-control-max-age"), "600");
    assert.equal(headers.get("access-control-allow-credentials"), null);
    assert.match(headers.get("vary")!, /Origin/);
  }
  for (const origin of ["https://evil.example", "https://app.example.evil", "null"]) {
    assert.equal((await preflight(origin)).headers.get("access-control-allow-origin"), null);
  }
});

Deno.test("pages of an allowed origin read every answer, refusals too, and our headers", async () => {
  const { app } = testApp({}, {}, { origins: [APP], keys: ["k"] });
  const requests: [path: string, init: RequestInit, status: number][] = [
    ["/generate", pagePost({ origin: APP, authorization: "Bearer k" }), 200],
    ["/generate_stream", pagePost({ origin: APP, authorization: "Bearer k" }), 200],
    ["/generate", pagePost({ origin: APP }), 401],
    ["/nowhere", { headers: { origin: APP, authorization: "Bearer k" } }, 404],
    ["/health", { headers: { origin: APP } }, 200],
  ];
  for (const [path, init, status] of requests) {
    const response = await app.request(path, init);
    assert.equal(response.status, status);
    assert.equal(response.headers.get("access-control-allow-origin"), APP);
    const exposed = response.headers.get("access-control-expose-headers")!.split(",");
    for (const name of ["x-request-id", "retry-after", "x-compute-time", "x-generated-tokens"]) {
      assert.ok(exposed.includes(name), name);
    }
    await response.body?.cancel();
  }
});

Deno.test("by default no other origin is allowed anything; * allows all", async () => {
  const headers = { origin: APP };
  const closed = await testApp().app.request("/health", { headers });
  assert.equal(closed.headers.get("access-control-allow-origin"), null);
  const open = await testApp({}, {}, { origins: ["*"] }).app.request(
    "/generate",
    pagePost(headers),
  );
  assert.equal(open.status, 200);
  assert.equal(open.headers.get("access-control-allow-origin"), "*");
});

Deno.test("what a foreign page makes its visitor's browser send is refused and not computed", async () => {
  const { app, engine } = testApp({}, {}, { origins: [APP] });
  await withServer(app, async (url, port) => {
    const host = `127.0.0.1:${port}`;
    const cases: [headers: Record<string, string>, status: number][] = [
      // No browser.
      [{}, 200],
      // Browsers that say how the page relates to this server.
      [{ "sec-fetch-site": "same-origin", origin: `http://${host}` }, 200],
      [{ "sec-fetch-site": "none" }, 200],
      // Behind a proxy that changes Host.
      [{ "sec-fetch-site": "same-origin", origin: "https://claire.example" }, 200],
      [{ "sec-fetch-site": "cross-site", origin: APP }, 200],
      [{ "sec-fetch-site": "cross-site", origin: "https://evil.example" }, 403],
      [{ "sec-fetch-site": "cross-site", origin: "null" }, 403],
      [{ "sec-fetch-site": "same-site", origin: "http://127.0.0.1:1" }, 403],
      [{ "sec-fetch-site": "cross-site" }, 403],
      // Browsers that do not.
      [{ origin: `http://${host}` }, 200],
      [{ origin: APP }, 200],
      [{ origin: "https://evil.example" }, 403],
      [{ origin: `http://${host}.evil.example` }, 403],
      [{ origin: "null" }, 403],
    ];
    let computed = 0;
    for (const [headers, status] of cases) {
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      const body = JSON.stringify(BODY);
      const answer = await raw(port, [
        `POST /generate HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n` +
        `${lines.join("")}\r\n${body}`,
      ]);
      assert.equal(statusOf(answer), status, JSON.stringify(headers));
      if (status === 200) computed++;
      else assert.match(answer, /"error_type":"origin"/);
    }
    assert.equal(engine.requests.length, computed);

    // A form, and an abort without a body, need no preflight; reading does no harm.
    const origin = "https://evil.example";
    const form = { method: "POST", headers: { origin, "content-type": "text/plain" }, body: "{}" };
    assert.equal((await fetch(`${url}/generate`, form)).status, 403);
    const abort = await fetch(`${url}/api/extra/abort`, { method: "POST", headers: { origin } });
    assert.equal(abort.status, 403);
    assert.deepEqual(Object.keys(await abort.json()), ["detail"]);
    assert.equal((await fetch(`${url}/health`, { headers: { origin } })).status, 200);
  });
});

Deno.test("a loopback server without a key answers to loopback names and allowed ones only", async () => {
  const { app, engine, log } = testApp({}, {}, { hosts: ["Claire.example"] });
  await withServer(app, async (_url, port) => {
    const ask = (host: string, line = "GET /info") =>
      raw(port, [`${line} HTTP/1.1\r\n${host}Connection: close\r\n\r\n`]);
    const known = [
      ...["localhost", "LOCALHOST:1", `localhost:${port}`, "127.0.0.1", `127.0.0.1:${port}`],
      ...["127.8.8.8:80", "[::1]", "[::1]:8080", "claire.example", "CLAIRE.example:443"],
    ];
    for (const host of known) assert.equal(statusOf(await ask(`Host: ${host}\r\n`)), 200, host);
    const unknown = [
      ...["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"],
      ...["128.0.0.1", "10.0.0.1", "0.0.0.0", "[::]", "[::1].evil", "claire.example.evil", ""],
      ...["localhost:", "localhost:8080@evil", "evil localhost", "127.0.0.1:80:80", "1127.0.0.1"],
    ];
    for (const host of unknown) {
      for (const line of ["GET /info", "GET /health", "GET /", "POST /generate", "OPTIONS /info"]) {
        const answer = await ask(`Host: ${host}\r\n`, line);
        assert.ok([403, 400].includes(statusOf(answer)), `${host} ${line} ${answer}`);
      }
    }
    const shapes: [path: string, body: RegExp][] = [
      ["/generate", /\r\n\r\n\{"error":"This server [^"]*","error_type":"host"\}$/],
      ["/v1/completions", /\r\n\r\n\{"error":\{"message":"This .*"param":null,"code":null\}\}$/],
      ["/api/v1/model", /\r\n\r\n\{"detail":\{"msg":"This [^"]*","type":"host"\}\}$/],
    ];
    for (const [path, body] of shapes) {
      assert.match(await ask("Host: evil.example\r\n", `GET ${path}`), body);
    }
    const twice = await ask("Host: localhost\r\nHost: evil.example\r\n");
    assert.equal(statusOf(twice), 400);
  });
  assert.equal(engine.requests.length, 0);
  assert.ok(log.every(({ fault }) => fault === undefined));
});

Deno.test("over HTTP/2, which has no Host, the URL's name is checked in its place", async () => {
  const { app } = testApp({}, {}, { hosts: ["claire.example"] });
  for (
    const [name, status] of [["claire.example", 200], ["127.0.0.1:8080", 200], [
      "evil.example",
      403,
    ]] as const
  ) {
    assert.equal((await app.request(`http://${name}/info`)).status, status, name);
  }
  const own = { origin: "https://claire.example" };
  assert.equal((await app.request("http://claire.example/generate", pagePost(own))).status, 200);
  assert.equal((await app.request("http://127.0.0.1/generate", pagePost(own))).status, 403);
});

Deno.test("Host is checked where it protects: on loopback without a key, or if names are given", () => {
  const hosts = (args: string[], hostname?: string) =>
    accessOf(readSettings(args, {}), hostname).hosts;
  assert.deepEqual(hosts([], "127.0.0.1"), []);
  assert.deepEqual(hosts([], "localhost"), []);
  assert.deepEqual(hosts([], "::1"), []);
  assert.deepEqual(hosts(["--allowed-host", "a.example"], "127.0.0.1"), ["a.example"]);
  assert.deepEqual(hosts(["--allowed-host", "a.example"], "0.0.0.0"), ["a.example"]);
  assert.equal(hosts(["--api-key", "k"], "127.0.0.1"), undefined);
  assert.equal(hosts([], "0.0.0.0"), undefined);
  assert.equal(hosts([], "::"), undefined);
  assert.equal(hosts([]), undefined);
  for (const host of ["127.0.0.1", "127.255.0.1", "LocalHost", "[::1]"]) {
    assert.ok(isLoopback(host));
  }
  for (const host of ["0.0.0.0", "126.0.0.1", "localhosts", "::2", ""]) {
    assert.ok(!isLoopback(host));
  }
});

Deno.test("a server without a key that others can reach says so when it starts", () => {
  const said = (args: string[], hostname: string) =>
    exposure(accessOf(readSettings(args, {}), hostname), hostname);
  assert.match(said([], "0.0.0.0")!, /--api-key/);
  assert.match(said(["--allowed-host", "a.example"], "192.0.2.1")!, /--api-key/);
  assert.equal(said(["--api-key", "k"], "0.0.0.0"), undefined);
  assert.equal(said([], "127.0.0.1"), undefined);
});

Deno.test("every answer says what a page may load: its own, nothing inline, no frame", async () => {
  const { app, post } = testApp();
  const responses = [
    await app.request("/health"),
    await app.request("/nowhere"),
    await post("/generate", {}),
    await post("/generate_stream", BODY),
  ];
  for (const { headers, body } of responses) {
    const policy = Object.fromEntries(
      headers.get("content-security-policy")!.split(";").map((part) => {
        const [name, ...values] = part.trim().split(" ");
        return [name, values.join(" ")];
      }),
    );
    assert.equal(policy["default-src"], "'none'");
    assert.equal(policy["script-src"], "'self'");
    assert.equal(policy["style-src"], "'self'");
    assert.equal(policy["connect-src"], "'self'");
    assert.equal(policy["frame-ancestors"], "'none'");
    assert.equal(policy["base-uri"], "'none'");
    assert.equal(policy["require-trusted-types-for"], "'script'");
    assert.doesNotMatch(JSON.stringify(policy), /unsafe|\*/);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("x-frame-options"), "DENY");
    assert.equal(headers.get("referrer-policy"), "no-referrer");
    assert.equal(headers.get("strict-transport-security"), null);
    await body?.cancel();
  }
});
