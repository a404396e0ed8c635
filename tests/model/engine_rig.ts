/** What the engine's tests share: an engine of its own for each test, and its answers collected. */
import assert from "node:assert/strict";
import {
  type Engine,
  EngineError,
  type EngineErrorCode,
  type GenerateRequest,
  type TokenEvent,
  type TokenLogprob,
} from "../../model/engine.ts";
import { type LocalEngineOptions, startLocalEngine } from "../../model/local_engine.ts";
import { committedGolden } from "../golden.ts";
import { request } from "./fake_model.ts";

export { request } from "./fake_model.ts";

export type GeneratedToken = Extract<TokenEvent, { type: "token" }>;

export interface Answer {
  prompt: (number | null)[] | undefined;
  promptTop: TokenLogprob[][] | undefined;
  tokens: GeneratedToken[];
  ids: number[];
}

/** Starts an engine on a committed golden, or whatever `options` says. */
export function start(options: Partial<LocalEngineOptions> = {}): Engine {
  return startLocalEngine({ model: committedGolden("q4-g64-act"), queueLimit: 8, ...options });
}

/** Runs `body` with an engine that is ready, and closes it. */
export async function withEngine(
  options: Partial<LocalEngineOptions>,
  body: (engine: Engine) => Promise<void>,
): Promise<void> {
  const engine = start(options);
  try {
    await engine.ready;
    await body(engine);
  } finally {
    await engine.close();
  }
}

/** A test whose steps share an engine: to start one takes longer than most of them. */
export function engineTest(
  name: string,
  options: Partial<LocalEngineOptions>,
  steps: Record<string, (engine: Engine, test: Deno.TestContext) => Promise<void>>,
): void {
  Deno.test(name, (test) =>
    withEngine(options, async (engine) => {
      for (const [step, run] of Object.entries(steps)) {
        await test.step(step, (inner) => run(engine, inner));
      }
    }));
}

/** Reads an answer to its end. */
export async function answer(
  engine: Engine,
  changes: Partial<GenerateRequest> = {},
  signal?: AbortSignal,
): Promise<Answer> {
  const tokens: GeneratedToken[] = [];
  let prompt: Answer["prompt"];
  let promptTop: Answer["promptTop"];
  for await (const event of engine.generate(request(changes), signal)) {
    if (event.type === "token") {
      // How long it waited differs each time; everything else must not.
      const { queuedSeconds, ...token } = event;
      if (tokens.length === 0) assert(queuedSeconds! >= 0);
      else assert.equal(queuedSeconds, undefined);
      tokens.push(token);
    } else {
      assert.equal(tokens.length, 0, "the prompt's log-probabilities come first");
      prompt = event.logprobs;
      promptTop = event.top;
    }
  }
  tokens.slice(0, -1).forEach(({ finish }) => assert.equal(finish, undefined));
  assert.notEqual(tokens.at(-1)!.finish, undefined);
  return { prompt, promptTop, tokens, ids: tokens.map(({ id }) => id) };
}

/**
 * For a request that shares no prompt with any other: where rows are counted, and where numbers must
 * be the same to the last bit, which depends on the number of rows that are computed together.
 */
export function ofItsOwn(): Pick<GenerateRequest, "cacheScope"> {
  return { cacheScope: crypto.randomUUID() };
}

/** Asserts that `promise` rejects with an EngineError of that code; its message. */
export async function refused(
  promise: Promise<unknown>,
  code: EngineErrorCode,
): Promise<string> {
  const error = await promise.then(
    () => assert.fail(`expected to be refused as "${code}"`),
    (error: unknown) => error,
  );
  assert(error instanceof EngineError, `expected an EngineError, found ${error}`);
  assert.equal(error.code, code);
  return error.message;
}

/** Waits until `condition` holds, and fails after a minute: whoever should make it so has died. */
export async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error("waited a minute in vain");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
