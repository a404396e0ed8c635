/** Events survive the way over the wire as JSON, infinities too; requests are checked field by field. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  EngineError,
  type GenerateRequest,
  GREEDY,
  type TokenEvent,
} from "../../../model/engine.ts";
import {
  ACCEPTED,
  errorLine,
  eventLine,
  generateRequest,
  lineEvent,
} from "../../../model/remote/protocol.ts";

const logprob = fc.oneof(
  fc.double({ max: 0, noNaN: true, noDefaultInfinity: true }).map((x) => x === 0 ? 0 : x),
  fc.constant(-Infinity),
);
const tokens = fc.array(fc.record({ id: fc.nat(65023), logprob }), { maxLength: 3 });
const event: fc.Arbitrary<TokenEvent> = fc.oneof(
  fc.record({
    type: fc.constant("prompt" as const),
    logprobs: fc.array(fc.option(logprob), { maxLength: 4 }),
    top: fc.array(tokens, { maxLength: 4 }),
  }),
  fc.record({
    type: fc.constant("token" as const),
    id: fc.nat(65023),
    logprob,
    processedLogprob: logprob,
    top: tokens,
    processedTop: tokens,
    cachedTokens: fc.nat(2048),
    queuedSeconds: fc.double({ min: 0, max: 1e6, noNaN: true }).map((x) => x === 0 ? 0 : x),
    finish: fc.constantFrom("length" as const, "stop_token" as const),
  }, { requiredKeys: ["type", "id", "logprob", "processedLogprob", "top", "processedTop"] }),
);

Deno.test("an event comes back as it was", () => {
  fc.assert(fc.property(event, (event) => {
    assert.deepEqual(
      lineEvent(JSON.parse(JSON.stringify(eventLine(event)))),
      // fast-check's records have no prototype.
      structuredClone(event),
    );
  }));
});

Deno.test("the wire's shapes are these, for an edge and a sidecar of different ages", () => {
  const token: TokenEvent = {
    type: "token",
    id: 7,
    logprob: -0.5,
    processedLogprob: -Infinity,
    top: [{ id: 7, logprob: -0.5 }],
    processedTop: [],
    finish: "length",
  };
  assert.equal(
    JSON.stringify(eventLine(token)),
    '{"token":[7,-0.5,"-inf"],"top":[[[7,-0.5]],[]],"finish":"length"}',
  );
  assert.equal(
    JSON.stringify(eventLine({ type: "prompt", logprobs: [null, -Infinity], top: [[], []] })),
    '{"prompt":[null,"-inf"],"top":[[],[]]}',
  );
  assert.equal(lineEvent(ACCEPTED), undefined);
});

Deno.test("an engine's error keeps its code and sentence; any other one says nothing", () => {
  const told = errorLine(new EngineError("busy", "Too many requests are waiting."));
  assert.throws(() => lineEvent(told), { code: "busy", message: "Too many requests are waiting." });
  assert.deepEqual(told, { error: { code: "busy", message: "Too many requests are waiting." } });
  const later = errorLine(new EngineError("busy", "Too many requests are waiting.", 7));
  assert.throws(() => lineEvent(JSON.parse(JSON.stringify(later))), {
    name: "EngineError",
    code: "busy",
    retryAfter: 7,
  });
  const unread = errorLine(new EngineError("unread", "The answer was not read."));
  assert.throws(() => lineEvent(unread), { code: "unread", retryAfter: undefined });
  const untold = errorLine(new TypeError("secret prompt"));
  assert.doesNotMatch(JSON.stringify(untold), /secret/);
  assert.throws(() => lineEvent(untold), { name: "EngineError", code: "failed" });
});

const REQUEST: GenerateRequest = {
  prompt: [1, 2],
  maxNewTokens: 3,
  sampling: { ...GREEDY, logitBias: [[4, -1.5]] },
  stopTokens: [11],
  topTokens: 2,
  promptLogprobs: true,
  cacheScope: "a",
  affinity: "b",
};

Deno.test("a request passes as it is; a wrong or unknown field anywhere is refused by name", () => {
  assert.deepEqual(generateRequest.parse(JSON.parse(JSON.stringify(REQUEST))), REQUEST);
  const { sampling } = REQUEST;
  const wrong: [path: string, change: object][] = [
    ["prompt", { prompt: [] }],
    ["prompt.0", { prompt: [-1] }],
    ["prompt.1", { prompt: [1, 1.5] }],
    ["maxNewTokens", { maxNewTokens: 0 }],
    ["topTokens", { topTokens: 21 }],
    ["sampling.temperature", { sampling: { ...sampling, temperature: -1 } }],
    ["sampling.topP", { sampling: { ...sampling, topP: 1.1 } }],
    ["sampling.seed", { sampling: { ...sampling, seed: 2 ** 53 } }],
    ["sampling.logitBias.0.1", { sampling: { ...sampling, logitBias: [[1, null]] } }],
    ["sampling.frequencyScope", { sampling: { ...sampling, frequencyScope: "all" } }],
    ["", { extra: 1 }],
    ["sampling", { sampling: { ...sampling, extra: 1 } }],
  ];
  for (const [path, change] of wrong) {
    const { error } = generateRequest.safeParse({ ...REQUEST, ...change });
    const found = error?.issues[0]?.path.join(".");
    assert.equal(found, path, JSON.stringify(change));
  }
});
