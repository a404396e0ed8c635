/** Clients that connect by hand, ask for a stream and never read it. */
import assert from "node:assert/strict";
import { jsonPost, testApp, until, withServer } from "./helpers.ts";
import { head } from "./raw.ts";

const ENDLESS = { inputs: "a", parameters: { max_new_tokens: 900_000, top_n_tokens: 5 } };
const SHORT = { inputs: "a", parameters: { max_new_tokens: 500 } };

/** A connection on which a stream is asked for, and nothing read. */
async function silentClient(port: number): Promise<Deno.TcpConn> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const body = JSON.stringify(ENDLESS);
  const text = head("/generate_stream", `Content-Length: ${body.length}`) + body;
  await connection.write(new TextEncoder().encode(text));
  return connection;
}

async function readAll(connection: Deno.TcpConn): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(65536);
  for (let read; (read = await connection.read(buffer)) !== null;) {
    text += decoder.decode(buffer.subarray(0, read), { stream: true });
  }
  return text;
}

Deno.test("clients that never read lose their streams, and nobody else does", async () => {
  const { app, engine, log } = testApp({ info: { maxPositions: 1e6 } }, { stall: 300 });
  await withServer(app, async (url, port) => {
    const silent = [await silentClient(port), await silentClient(port)];
    await until(() => engine.requests.length === 2);
    const streams = engine.requests.slice(0, 2);
    // They stand still while others are answered.
    const other = await fetch(`${url}/generate`, jsonPost(SHORT));
    assert.equal(other.headers.get("x-generated-tokens"), "500");
    await other.text();

    await until(() => streams.every(({ outcome }) => outcome === "cancelled"));
    assert.ok(streams.every(({ tokens }) => tokens < 900_000));
    await until(() => log.length === 3);
    assert.deepEqual(log.map(({ error }) => error), [undefined, "unread", "unread"]);
    assert.equal(engine.running, 0);
    // Whoever reads after all is told.
    const text = await readAll(silent[0]!);
    assert.match(
      text.slice(-1000),
      /\n\ndata: \{"error":"[^"]*did not read its answer","error_type":"generation"\}\s+0\s*$/,
    );
    for (const connection of silent) connection.close();
  });
});

Deno.test("a client that reads slowly, but reads, gets its whole answer", async () => {
  const { app, engine, log } = testApp({ info: { maxPositions: 1e6 } }, { stall: 1000 });
  await withServer(app, async (url) => {
    const tokens = 4000;
    const body = { inputs: "a", parameters: { max_new_tokens: tokens, top_n_tokens: 5 } };
    const response = await fetch(`${url}/generate_stream`, jsonPost(body));
    let events = 0;
    let bytes = 0;
    for await (const chunk of response.body!) {
      events += new TextDecoder().decode(chunk).match(/"index":/g)?.length ?? 0;
      bytes += chunk.length;
      if (bytes > 250_000) {
        bytes = 0;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    await until(() => log.length === 1);
    assert.equal(log[0]!.error, undefined);
    assert.equal(engine.requests[0]!.outcome, "finished");
    assert.ok(events > 0);
  });
});
