/** The simulation against closed forms of queueing theory: one sidecar, one turn a dialogue. */
import assert from "node:assert/strict";
import type { Answered } from "../../../model/simulate/simulation.ts";
import { play, type Scenario } from "./scenario.ts";

/** 501 tokens at 1000 tokens/s, the first at once. */
const SERVICE = 0.5;
/** Load 0.6. */
const ARRIVALS = { rate: 1.2, turns: 1 };
const LOAD = ARRIVALS.rate * SERVICE;

function mean(turns: readonly Answered[], value: (turn: Answered) => number): number {
  return turns.reduce((sum, turn) => sum + value(turn), 0) / turns.length;
}

function near(found: number, expected: number, tolerance: number): void {
  const off = Math.abs(found / expected - 1);
  assert(off < tolerance, `${found} found, ${expected} expected`);
}

const wait = ({ askedAt, firstTokenAt }: Answered) => firstTokenAt - askedAt;
const stay = ({ askedAt, finishedAt }: Answered) => finishedAt - askedAt;

function long(scenario: Omit<Scenario, "seconds">) {
  return play({ ...scenario, seconds: 200_000, warmUpSeconds: 1000 });
}

Deno.test("one slot, answers of one length: the wait of M/D/1 (Pollaczek and Khinchine)", () => {
  const { answered, busy } = long({ model: { slots: 1 }, workload: ARRIVALS });
  near(mean(answered, wait), LOAD * SERVICE / (2 * (1 - LOAD)), 0.02);
  near(mean(answered, stay), LOAD * SERVICE / (2 * (1 - LOAD)) + SERVICE, 0.01);
  near(busy[0]!, LOAD, 0.01);
});

Deno.test("one slot, exponential answers: the wait of M/M/1", () => {
  const workload = { ...ARRIVALS, lengths: "exponential" as const };
  const { answered, busy } = long({ model: { slots: 1 }, workload });
  near(mean(answered, wait), LOAD * SERVICE / (1 - LOAD), 0.03);
  near(busy[0]!, LOAD, 0.01);
});

Deno.test("slots for all: the stay of a shared processor, whatever the lengths are like", () => {
  for (const lengths of ["fixed", "exponential"] as const) {
    const { answered } = long({ workload: { ...ARRIVALS, lengths } });
    assert.equal(mean(answered, wait), 0);
    near(mean(answered, stay), SERVICE / (1 - LOAD), 0.03);
  }
});

Deno.test("a rate that grows with the sequences: nobody is in another's way", () => {
  const { answered } = play({
    model: { decodeRate: (sequences) => 1000 * sequences },
    workload: { ...ARRIVALS, rate: 20 },
    seconds: 500,
  });
  for (const turn of answered) near(stay(turn), SERVICE, 1e-6);
});

Deno.test("prompts alone, one after the other: M/D/1 again, with slots for all", () => {
  const model = { prefillRate: () => 80 };
  const { answered } = long({ model, workload: { ...ARRIVALS, turnTokens: 40, answerTokens: 1 } });
  near(mean(answered, wait), LOAD * SERVICE / (2 * (1 - LOAD)) + SERVICE, 0.01);
  for (const turn of answered) assert.equal(turn.finishedAt, turn.firstTokenAt);
});

/** Ways to compute a prompt beside one answer, at 40 and 10 tokens/s alone: shares that make one. */
const SHARES = [
  ["a prompt stops the answers for as long as it takes", { answer: 0, prompt: 40 }],
  ["a prompt beside an answer shares the GPU with it", { answer: 5, prompt: 20 }],
  ["an answer slows a prompt a little", { answer: 1, prompt: 36 }],
] as const;

for (const [what, speeds] of SHARES) {
  Deno.test(`${what}, and nothing is lost`, () => {
    const { answered } = play({
      model: { prefillRate: () => 40, decodeRate: () => 10, mixed: () => speeds },
      workload: { rate: 0.05, turns: 1, turnTokens: 40, answerTokens: 31 },
      seconds: 4000,
    });
    const together = (turns: Answered[]) =>
      answered.filter((turn) =>
        turns.some(({ askedAt, finishedAt }) =>
          turn.askedAt < finishedAt && turn.finishedAt > askedAt
        )
      );
    const met = { alone: 0, pairs: 0 };
    for (const turn of answered) {
      const company = together([turn]);
      if (company.length === 1) {
        met.alone++;
        near(stay(turn), 1 + 3, 1e-9);
      } else if (company.length === 2 && together(company).length === 2) {
        met.pairs++;
        const from = Math.min(...company.map(({ askedAt }) => askedAt));
        near(Math.max(...company.map(({ finishedAt }) => finishedAt)) - from, 2 * (1 + 3), 1e-9);
      }
    }
    assert(met.alone > 50 && met.pairs > 20, JSON.stringify(met));
  });
}
