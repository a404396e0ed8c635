/** One sidecar over HTTP: connections that are used again, and a sidecar that says nothing more. */
import assert from "node:assert/strict";
import type { TokenEvent } from "../../../model/engine.ts";
import { SidecarClient } from "../../../model/remote/client.ts";
import { FakeSidecar, KEY, request } from "./rig.ts";

const never = new AbortController().signal;

Deno.test("a sidecar that falls silent is taken for dead; a slow reader is not", async () => {
  await using sidecar = new FakeSidecar({ script: [30] });
  const client = new SidecarClient(sidecar.url, KEY, 150);
  const events: TokenEvent[] = [];
  for await (const event of client.generate(request(), never)) {
    events.push(event);
    if (events.length === 1) await new Promise((resolve) => setTimeout(resolve, 500));
  }
  assert.equal(events.length, 5);
  sidecar.engine.script = (_, index) => {
    if (index === 2) sidecar.engine.delay = 1e9;
    return 30;
  };
  await assert.rejects(Array.fromAsync(client.generate(request(), never)), {
    name: "SidecarError",
    message: "said nothing for 0.15 s",
  });
});

Deno.test("answers one after the other come over one connection", async () => {
  const remotes = new Set<string>();
  const line = (event: object) => `data: ${JSON.stringify([event])}\n\n`;
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (_request, { remoteAddr }) => {
      remotes.add(`${(remoteAddr as Deno.NetAddr).port}`);
      return new Response(
        line({ accepted: true }) + line({ token: [1, -1, -1], finish: "length" }),
      );
    },
  );
  const client = new SidecarClient(`http://127.0.0.1:${server.addr.port}`, KEY);
  for (let i = 0; i < 5; i++) {
    // As generateText does: gone with the last token.
    for await (const event of client.generate(request(), never)) {
      if (event.type === "token" && event.finish) break;
    }
  }
  await server.shutdown();
  assert.equal(remotes.size, 1);
});
