/** Simulations of tests: few settings, the rest plain. */
import { Chance } from "../../../model/simulate/chance.ts";
import { policy, type PolicyName } from "../../../model/simulate/policies.ts";
import type { SidecarModel } from "../../../model/simulate/sidecar.ts";
import {
  type Death,
  type Outcome,
  simulate,
  type Workload,
} from "../../../model/simulate/simulation.ts";

/** Endless memory and slots; prompts cost nothing; 1000 tokens/s, shared by whoever decodes. */
export const PLAIN: SidecarModel = {
  slots: Infinity,
  blocks: Infinity,
  blockTokens: 32,
  prefillRate: () => Infinity,
  decodeRate: () => 1000,
  mixed: () => ({ answer: 0, prompt: Infinity }),
};

export interface Scenario {
  sidecars?: number;
  model?: Partial<SidecarModel>;
  workload: Partial<Workload> & Pick<Workload, "rate" | "turns">;
  policy?: PolicyName;
  seconds: number;
  warmUpSeconds?: number;
  death?: Death | undefined;
  seed?: number;
  leastLoad?: number;
}

export function play(scenario: Scenario): Outcome {
  const { sidecars = 1, seed = 1, leastLoad = 16, policy: name = "rendezvous", ...times } =
    scenario;
  return simulate({
    warmUpSeconds: 0,
    ...times,
    sidecars,
    seed,
    policy: policy(name, new Chance(seed, name), leastLoad),
    model: { ...PLAIN, ...scenario.model },
    workload: {
      thinkSeconds: 10,
      openingTokens: 0,
      turnTokens: 40,
      answerTokens: 501,
      lengths: "fixed",
      contextTokens: Infinity,
      ...scenario.workload,
    },
  });
}
