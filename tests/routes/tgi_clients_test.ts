/**
 * The example of the model's card, byte for byte: what `InferenceClient(url).text_generation(…)` of
 * Python's huggingface_hub sends, and what it reads.
 *
 * The bytes follow from the sources of huggingface_hub 0.17.3 (over requests) and 1.28 (over httpx).
 */
import assert from "node:assert/strict";
import { ids, testApp, until, withServer } from "./helpers.ts";

/** As requests writes JSON: a space after each comma and colon, ASCII alone. */
const OLD_BODY = (stream: boolean) =>
  '{"inputs": "Parle-moi de \\u00e9t\\u00e9", "parameters": {"do_sample": true, ' +
  '"max_new_tokens": 128, "repetition_penalty": 1.1, "return_full_text": false, "stop": [], ' +
  '"seed": null, "temperature": 0.7, "top_k": 40, "top_p": 0.95, "truncate": null, ' +
  '"typical_p": null, "best_of": null, "watermark": false, "details": false, ' +
  `"decoder_input_details": false}, "stream": ${stream}}`;

/** As httpx writes it: no space, UTF-8; what was not given is left out. */
const NEW_BODY = (stream: boolean) =>
  '{"inputs":"Parle-moi de été","parameters":{"do_sample":true,"max_new_tokens":128,' +
  `"repetition_penalty":1.1,"temperature":0.7,"top_k":40,"top_p":0.95},"stream":${stream}}`;

const REQUESTS = {
  "huggingface_hub 0.17.3": (port: number, stream: boolean) =>
    `POST / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n` +
    "User-Agent: unknown/None; hf_hub/0.17.3; python/3.10.12; torch/2.1.0\r\n" +
    "Accept-Encoding: gzip, deflate, br\r\nAccept: */*\r\nConnection: keep-alive\r\n" +
    `Content-Length: ${OLD_BODY(stream).length}\r\nContent-Type: application/json\r\n\r\n` +
    OLD_BODY(stream),
  "huggingface_hub 1.28": (port: number, stream: boolean) =>
    `POST / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: */*\r\n` +
    "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n" +
    "user-agent: unknown/None; hf_hub/1.28.0; python/3.12.3\r\n" +
    `Content-Length: ${new TextEncoder().encode(NEW_BODY(stream)).length}\r\n` +
    "Content-Type: application/json\r\n\r\n" + NEW_BODY(stream),
};

/** Sends a request and reads its one answer from the connection, which stays open. */
async function exchange(port: number, request: string): Promise<{ head: string; body: string }> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(request));
  const decoder = new TextDecoder();
  let text = "";
  const buffer = new Uint8Array(65536);
  for (;;) {
    const read = await connection.read(buffer);
    assert(read !== null, "the connection was closed");
    text += decoder.decode(buffer.subarray(0, read), { stream: true });
    const [head, body = ""] = text.split(/\r\n\r\n(.*)/s) as [string, string];
    const length = /^content-length: (\d+)\r?$/im.exec(head)?.[1];
    if (length === undefined) {
      if (body.endsWith("0\r\n\r\n")) return { head, body: unchunked(body) };
    } else if (new TextEncoder().encode(body).length >= Number(length)) {
      return { head, body };
    }
  }
}

/** The data of chunked transfer encoding. */
function unchunked(body: string): string {
  let rest = new TextEncoder().encode(body);
  let text = "";
  for (;;) {
    const end = rest.indexOf(0x0d);
    const size = parseInt(new TextDecoder().decode(rest.subarray(0, end)), 16);
    if (size === 0) return text;
    text += new TextDecoder().decode(rest.subarray(end + 2, end + 2 + size));
    rest = rest.slice(end + 4 + size);
  }
}

for (const [client, request] of Object.entries(REQUESTS)) {
  Deno.test(`the card's example from ${client}, whole and streamed`, async () => {
    const script = ids(" C'est l'été.");
    const { app, engine, log } = testApp({ script: [...script, 11] });
    // The prompt comes back unless the client says otherwise, as the older one does.
    const prefix = client.endsWith("0.17.3") ? "" : "Parle-moi de été";
    await withServer(app, async (_url, port) => {
      const whole = await exchange(port, request(port, false));
      assert.match(whole.head, /^HTTP\/1\.1 200 OK\r\n/);
      assert.match(whole.head, /^content-type: application\/json\r?$/im);
      assert.equal(whole.body, `[{"generated_text":"${prefix} C'est l'été."}]`);

      const streamed = await exchange(port, request(port, true));
      assert.match(streamed.head, /^content-type: text\/event-stream\r?$/im);
      const lines = streamed.body.split("\n").filter((line) => line !== "");
      assert.ok(lines.every((line) => line.startsWith("data: ")));
      const events = lines.map((line) => JSON.parse(line.slice("data:".length)));
      const text = events.filter(({ token }) => !token.special).map(({ token }) => token.text);
      assert.equal(text.join(""), " C'est l'été.");
      for (const { index, token } of events) {
        assert.equal(typeof index, "number");
        assert.deepEqual(Object.keys(token), ["id", "text", "logprob", "special"]);
      }
      assert.equal(events.at(-1).generated_text, `${prefix} C'est l'été.`);
      await until(() => log.length === 2);
    });
    for (const { request: { prompt, maxNewTokens, sampling } } of engine.requests) {
      assert.deepEqual(prompt, ids("Parle-moi de été"));
      assert.equal(maxNewTokens, 128);
      const { temperature, topK, topP, repetitionPenalty } = sampling;
      assert.deepEqual([temperature, topK, topP, repetitionPenalty], [0.7, 40, 0.95, 1.1]);
    }
  });
}
