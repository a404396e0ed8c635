/**
 * How fast one GPU is: the figures that the simulation rests on, each with its source.
 *
 * Knows tables of rates, how to read between their entries, and the file that replaces them. Knows
 * no simulation.
 */
import { z } from "zod";

const positive = z.number().positive();
const byCount = z.record(z.string().regex(/^[1-9]\d*$/, "expected a whole number"), positive)
  .refine((table) => Object.keys(table).length > 0, "expected an entry");

const ratesSchema = z.strictObject({
  /** Where the figures come from, for people. */
  source: z.string().min(1),
  /** Sequences that decode together → tokens a second of all of them. */
  decode_tok_s: byCount,
  /** Tokens of a prompt that are computed → tokens a second. */
  prefill_tok_s: byCount,
  /** From the last token computed to the client, and the request's way there. */
  overhead_ms: z.number().nonnegative(),
});

export type Rates = z.infer<typeof ratesSchema>;

/** An NVIDIA H200, 4 bits in groups of 128, act-order; the source says what was not measured. */
export const H200: Rates = {
  source: "H200, 4-bit 128g act-order, 2026-11-25 " +
    "(tests/bench/results/2026-11-25-h200-persistent.json): one stream after 128 tokens, prefill " +
    "and the first token over HTTP are measured; decoding of 35 and more sequences is ASSUMED to " +
    "run like prefill with as many rows, and of 2 to 34 to lie on a line between",
  decode_tok_s: { 1: 416, 35: 1461, 512: 2124 },
  prefill_tok_s: { 35: 1461, 512: 2124, 2047: 1785 },
  // 26.1 ms for 35 tokens, of which 35 / 1461 s are prefill.
  overhead_ms: 2,
};

/** @throws {Error} in a sentence that names the place, for text that is not such a file */
export function parseRates(text: string): Rates {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error("it is no JSON");
  }
  const { success, data, error } = ratesSchema.safeParse(json);
  if (success) return data;
  const { path, message } = error.issues[0]!;
  throw new Error(`${path.join(".") || "the object"}: ${message}`);
}

/** A rate for any count: on a line between two entries, the nearest one outside of them. */
export function rateTable(entries: Readonly<Record<string, number>>): (count: number) => number {
  const points = Object.entries(entries).map(([count, rate]) => [Number(count), rate] as const)
    .sort(([a], [b]) => a - b);
  return (count) => {
    const next = points.findIndex(([at]) => at >= count);
    if (next === -1) return points.at(-1)![1];
    if (next === 0) return points[0]![1];
    const [[x0, y0], [x1, y1]] = [points[next - 1]!, points[next]!];
    return y0 + (y1 - y0) * (count - x0) / (x1 - x0);
  };
}
