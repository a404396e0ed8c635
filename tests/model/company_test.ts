/** What a request gets in company is what it gets alone: exact in the deterministic mode. */
import assert from "node:assert/strict";
import { type Engine, type GenerateRequest, GREEDY, type Sampling } from "../../model/engine.ts";
import { seededRandom } from "../helpers.ts";
import { answer, withEngine } from "./engine_rig.ts";

const REQUESTS = 200;
const SLOTS = 16;
const OPTIONS = { slots: SLOTS, queueLimit: REQUESTS, kvBytes: 2 ** 22, deterministic: true };

const HOT = { temperature: 3, topK: 40, topP: 0.95, repetitionPenalty: 1.1 };
const WAYS: Partial<Sampling>[] = [{}, HOT, { temperature: 1.5 }, { ...HOT, minP: 0.01 }];

/** Requests of every kind: prompts short and long, that share beginnings or not, drawn and greedy. */
function seededRequests(): Partial<GenerateRequest>[] {
  const random = seededRandom(11);
  const whole = (below: number) => Math.floor(random() * below);
  const tokens = (length: number) => Array.from({ length }, () => whole(512));
  const openings = [tokens(70), tokens(33), []];
  return Array.from({ length: REQUESTS }, (_, i) => ({
    prompt: [...openings[i % 3]!, ...tokens(1 + whole(20))],
    maxNewTokens: 1 + whole(4),
    sampling: { ...GREEDY, ...WAYS[whole(WAYS.length)], seed: i },
  }));
}

async function ids(engine: Engine, request: Partial<GenerateRequest>): Promise<string> {
  return (await answer(engine, request)).ids.join();
}

Deno.test(`deterministic: ${REQUESTS} seeded requests say the same alone and in random company`, () =>
  withEngine(OPTIONS, async (engine) => {
    const requests = seededRequests();
    const alone: string[] = [];
    for (const request of requests) alone.push(await ids(engine, request));
    // In another order, as many at once as the engine takes.
    const order = requests.map((_, i) => (i * 77 + 5) % REQUESTS);
    const together = await Promise.all(
      order.map(async (i) => [i, await ids(engine, requests[i]!)] as const),
    );
    for (const [i, text] of together) assert.equal(text, alone[i], `request ${i}`);
    // They drew, and not always the same.
    assert(new Set(alone).size > REQUESTS / 4);
  }));
