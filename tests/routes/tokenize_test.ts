/** `/tokenize`, `/invocations` and `/ping`: TGI's smaller routes. */
import assert from "node:assert/strict";
import { ids, readEvents, readStream, testApp } from "./helpers.ts";

Deno.test("POST /tokenize tells a prompt's tokens and where they lie, in bytes", async () => {
  const { post, engine, log } = testApp();
  const response = await post("/tokenize", { inputs: "aé!", parameters: { temperature: -1 } });
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), [
    { id: 109, text: "a", start: 0, stop: 1 },
    { id: 207, text: "é", start: 1, stop: 3 },
    { id: 181, text: "é", start: 1, stop: 3 },
    { id: 45, text: "!", start: 3, stop: 4 },
  ]);
  assert.deepEqual(await (await post("/tokenize", { inputs: "" })).json(), []);
  assert.equal(engine.requests.length, 0);
  assert.equal(log[0]!.prompt_tokens, 4);
});

Deno.test("POST /tokenize refuses what is no prompt, or so long that it would block", async () => {
  const { post, app } = testApp({}, { inputCharacters: 10 });
  for (const body of [{}, { inputs: 5 }, { inputs: "a".repeat(11) }, []]) {
    const response = await post("/tokenize", body);
    assert.equal(response.status, 422);
    assert.equal((await response.json()).error_type, "validation");
  }
  assert.equal((await app.request("/tokenize")).status, 405);
});

Deno.test("POST /invocations is whatever its body says it is", async () => {
  const script = ids(" Oui.\n");
  const { post, app } = testApp({ script });
  const text = async (body: object) => await (await post("/invocations", body)).json();
  const parameters = { max_new_tokens: 5 };
  assert.deepEqual(await text({ inputs: "a", parameters }), [{ generated_text: "a Oui." }]);
  const messages = [{ role: "user", content: "Bonjour" }];
  assert.equal((await text({ messages })).choices[0].message.content, "Oui.");
  assert.equal((await text({ prompt: "a", max_tokens: 5 })).choices[0].text, " Oui.");

  const generated = await readEvents(
    await post("/invocations", { inputs: "a", parameters, stream: true }),
  );
  assert.equal(generated.length, 5);
  const chat = await readStream(await post("/invocations", { messages, stream: true }));
  assert.ok(chat.done);

  // Errors are told in TGI's shape, and a body of no kind lacks what TGI asks for first.
  assert.deepEqual(await text({}), {
    error: "Failed to deserialize the JSON body into the target type: missing field `inputs`",
    error_type: "validation",
  });
  assert.deepEqual(Object.keys(await text({ prompt: "" })), ["error", "error_type"]);
  assert.equal((await app.request("/invocations")).status, 405);
});

Deno.test("GET /ping is GET /health", async () => {
  const { app, engine } = testApp({ state: "loading" });
  assert.equal((await app.request("/ping")).status, 503);
  engine.finishLoading();
  assert.deepEqual(await (await app.request("/ping")).json(), { status: "ready" });
});
