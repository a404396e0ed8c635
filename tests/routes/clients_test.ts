/** The client libraries people use, unchanged, against a real server on the loopback interface. */
import assert from "node:assert/strict";
import OpenAI, { APIUserAbortError, BadRequestError, NotFoundError, RateLimitError } from "openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { InferenceClient } from "@huggingface/inference";
import { APICallError, generateText, streamText } from "ai";
import { END_OF_TEXT, FOREVER, ids, testApp, until, withServer } from "./helpers.ts";

// Its completion model takes no tool choice and says so each time.
Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false });

/** Accents and an emoji, whose characters are spread over several tokens each. */
const ANSWER = "Très bien, et vous ? 🙂";
const SCRIPT = [...ids(` ${ANSWER}`), END_OF_TEXT];
const HELLO = [{ role: "user" as const, content: "Bonjour, ça va ?" }];

function openAi(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
}

Deno.test("openai: completions, whole and streamed", async () => {
  const { app } = testApp({ script: SCRIPT });
  await withServer(app, async (url) => {
    const client = openAi(url);
    const request = { model: "any", prompt: ["- Bonjour !\n-", "-"], max_tokens: 100, logprobs: 1 };
    const whole = await client.completions.create(request);
    assert.equal(whole.model, "fake");
    assert.deepEqual(whole.choices.map(({ text }) => text), [` ${ANSWER}`, ` ${ANSWER}`]);
    assert.deepEqual(whole.choices.map(({ finish_reason }) => finish_reason), ["stop", "stop"]);
    assert.equal(whole.choices[0]!.logprobs!.tokens!.length, SCRIPT.length - 1);
    assert.match(whole._request_id!, /^[0-9a-f-]{36}$/);

    const texts = ["", ""];
    let usage: OpenAI.CompletionUsage | undefined;
    const stream = await client.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) {
      for (const { index, text } of chunk.choices) {
        assert.ok(!text.includes("\ufffd"));
        texts[index] += text;
      }
      usage = chunk.usage ?? usage;
    }
    assert.deepEqual(texts, [` ${ANSWER}`, ` ${ANSWER}`]);
    assert.deepEqual(usage, whole.usage);
  });
});

Deno.test("openai: chat, whole, streamed, and by its own accumulating helper", async () => {
  const { app } = testApp({ script: SCRIPT });
  await withServer(app, async (url) => {
    const client = openAi(url);
    const request = { model: "gpt-4o", messages: HELLO };
    const whole = await client.chat.completions.create({
      ...request,
      logprobs: true,
      top_logprobs: 2,
    });
    const [{ message, finish_reason, logprobs }] = whole.choices as [typeof whole.choices[0]];
    assert.deepEqual([message.role, message.content], ["assistant", ANSWER]);
    assert.equal(finish_reason, "stop");
    const bytes = logprobs!.content!.flatMap(({ bytes }) => bytes!);
    assert.equal(new TextDecoder().decode(new Uint8Array(bytes)), ` ${ANSWER}`);
    assert.ok(logprobs!.content!.every(({ top_logprobs }) => top_logprobs.length === 2));

    const pieces: string[] = [];
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
      pieces.push(chunk.choices[0]!.delta.content ?? "");
    }
    assert.equal(pieces.join(""), ANSWER);
    assert.ok(pieces.length > 10);

    const runner = client.chat.completions.stream({
      ...request,
      n: 2,
      stream_options: { include_usage: true },
    });
    const final = await runner.finalChatCompletion();
    assert.deepEqual(final.choices.map(({ message }) => message.content), [ANSWER, ANSWER]);
    assert.equal(final.usage!.completion_tokens, 2 * SCRIPT.length);
  });
});

Deno.test("openai: models, and errors as the classes it knows", async () => {
  const { app, engine } = testApp({ script: SCRIPT, info: { model: "TheBloke/Claire" } });
  await withServer(app, async (url) => {
    const client = openAi(url);
    const models = await Array.fromAsync(client.models.list());
    assert.deepEqual(models.map(({ id, object }) => [id, object]), [["TheBloke/Claire", "model"]]);
    assert.deepEqual(await client.models.retrieve("TheBloke/Claire"), models[0]);
    await assert.rejects(client.models.retrieve("gpt-4"), NotFoundError);
    await assert.rejects(
      client.chat.completions.create({
        model: "any",
        messages: HELLO,
        response_format: { type: "json_object" },
      }),
      (error) => {
        assert(error instanceof BadRequestError);
        assert.equal(error.param, "response_format");
        assert.equal(error.code, "unsupported_parameter");
        assert.equal(error.type, "invalid_request_error");
        assert.match(error.message, /^400 Unsupported parameter: 'response_format'/);
        return true;
      },
    );
    engine.capacity = 0;
    const busy = client.completions.create({ model: "any", prompt: "a" });
    await assert.rejects(busy, RateLimitError);
  });
});

Deno.test("openai: an aborted stream, and an aborted answer, end the work", async () => {
  const { app, engine, log } = testApp({ delay: 2 });
  await withServer(app, async (url) => {
    const client = openAi(url);
    const request = { model: "any", prompt: "a", max_tokens: 2000 };
    const stream = await client.completions.create({ ...request, stream: true });
    for await (const _ of stream) break; // leaving the loop aborts
    await until(() => engine.cancellations === 1 && log.length === 1);
    assert.equal(log[0]!.error, "cancelled");

    engine.delay = FOREVER;
    // Before an answer begins, Deno 2.9.6 tells of clients that leave only after requests of which
    // head and body came in one read of 512 bytes.
    const messages = [{ role: "user" as const, content: "Oui" }];
    for (const path of ["completions", "chat"] as const) {
      const leave = new AbortController();
      const options = { signal: leave.signal };
      const before = engine.cancellations;
      const answer = path === "chat"
        ? client.chat.completions.create({ model: "any", messages, n: 3 }, options)
        : client.completions.create({ ...request, n: 3 }, options);
      const rejected = assert.rejects(answer, APIUserAbortError);
      await until(() => engine.running === 1);
      leave.abort();
      await rejected;
      await until(() => engine.cancellations === before + 1 && engine.running === 0);
    }
    // The engine has one place: of three choices only the first was ever begun.
    assert.equal(engine.requests.length, 3);
  });
});

Deno.test("@huggingface/inference: text generation and chat, whole and streamed", async () => {
  const { app, engine } = testApp({ script: SCRIPT });
  await withServer(app, async (url) => {
    const client = new InferenceClient("", { endpointUrl: url });
    const parameters = {
      max_new_tokens: 100,
      temperature: 0.7,
      top_k: 40,
      repetition_penalty: 1.1,
    };
    const request = { inputs: "- Bonjour !\n-", parameters };
    const { generated_text } = await client.textGeneration(request);
    assert.equal(generated_text, ` ${ANSWER}`);
    const asked = engine.requests[0]!.request;
    assert.deepEqual(asked.prompt, ids("- Bonjour !\n-"));
    const { temperature, topK, repetitionPenalty } = asked.sampling;
    assert.deepEqual([temperature, topK, repetitionPenalty], [0.7, 40, 1.1]);
    assert.equal(asked.maxNewTokens, 100);

    let text = "";
    for await (const chunk of client.textGenerationStream(request)) {
      // What arrives are OpenAI's chunks, whatever the type says.
      const { choices } = chunk as unknown as OpenAI.Completion;
      text += choices[0]!.text;
    }
    assert.equal(text, ` ${ANSWER}`);

    const chat = await client.chatCompletion({ messages: HELLO, max_tokens: 100 });
    assert.equal(chat.choices[0]!.message.content, ANSWER);
    text = "";
    for await (const chunk of client.chatCompletionStream({ messages: HELLO, max_tokens: 100 })) {
      text += chunk.choices[0]!.delta.content ?? "";
    }
    assert.equal(text, ANSWER);

    await assert.rejects(
      client.textGeneration({ inputs: "", parameters: {} }),
      (error: Error & { httpResponse?: { status: number } }) => error.httpResponse?.status === 400,
    );
  });
});

Deno.test("AI SDK: generateText and streamText, with usage and errors", async () => {
  const { app } = testApp({ script: SCRIPT });
  await withServer(app, async (url) => {
    const clairon = createOpenAICompatible({
      name: "clairon",
      baseURL: `${url}/v1`,
      includeUsage: true,
    });
    const model = clairon("any");
    const prompt = "Bonjour, ça va ?";
    const whole = await generateText({ model, prompt, maxRetries: 0 });
    assert.equal(whole.text, ANSWER);
    assert.equal(whole.finishReason, "stop");
    assert.equal(whole.usage.outputTokens, SCRIPT.length);

    const streamed = streamText({ model, prompt, maxRetries: 0 });
    const pieces = await Array.fromAsync(streamed.textStream);
    assert.equal(pieces.join(""), ANSWER);
    assert.deepEqual((await streamed.usage).outputTokens, SCRIPT.length);

    const completion = await generateText({
      model: clairon.completionModel("any"),
      prompt,
      maxOutputTokens: 100,
      maxRetries: 0,
    });
    assert.ok(completion.text.includes(ANSWER));

    await assert.rejects(
      generateText({ model, prompt, temperature: 3, maxRetries: 0 }),
      (error) => {
        assert(APICallError.isInstance(error));
        assert.equal(error.statusCode, 400);
        assert.match(error.message, /^Invalid 'temperature': decimal above maximum value\./);
        return true;
      },
    );
  });
});
