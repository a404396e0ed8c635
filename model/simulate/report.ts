/**
 * How settings and results of a simulation are shown: as JSON's fields and as a table.
 *
 * Knows columns and words. Computes nothing.
 */
import { ASSUMPTIONS, type Settings } from "./plan.ts";
import type { Summary, TurnFigures } from "./summary.ts";

export function settingsAsJson({ workload, rates, death, ...settings }: Settings) {
  return {
    sidecars: settings.sidecars,
    rate: workload.rate,
    turns: workload.turns,
    think_s: workload.thinkSeconds,
    opening_tokens: workload.openingTokens,
    turn_tokens: workload.turnTokens,
    answer_tokens: workload.answerTokens,
    lengths: workload.lengths,
    slots: settings.slots,
    kv_bytes: settings.kvBytes,
    least_load: settings.leastLoad,
    seconds: settings.seconds,
    warm_up_s: settings.warmUpSeconds,
    kill_at_s: death?.at ?? null,
    back_at_s: death?.backAt ?? null,
    seed: settings.seed,
    rates,
  };
}

/** What is assumed, then a line a policy; after a death three more. */
export function report({ rates }: Settings, results: Readonly<Record<string, Summary>>): string {
  const head = ["TTFT p50", "p99, ms", "tok/s p50", "p1", "cache hits", "GPU busy", "busiest"];
  return [
    "Assumed:",
    ...[...ASSUMPTIONS, `Rates: ${rates.source}.`].map((text) => `- ${text}`),
    "",
    line("policy", head),
    ...Object.entries(results).flatMap(([name, summary]) => rows(name, summary)),
  ].join("\n");
}

function rows(name: string, summary: Summary): string[] {
  const { gpu_busy: busy, counts, death } = summary;
  const all = line(name, [...cells(summary), percent(busy.mean), percent(busy.most)]);
  if (!death) return [all];
  return [
    all,
    line("  minute before", cells(death.before)),
    line("  minute after", cells(death.after)),
    `  cut off ${counts.broken}, moved ${counts.retried}, refused ${counts.refused}`,
  ];
}

function cells({ ttft_ms, stream_tok_s, cache_hit_rate }: TurnFigures): string[] {
  const numbers = [ttft_ms?.p50, ttft_ms?.p99, stream_tok_s?.p50, stream_tok_s?.p1];
  return [
    ...numbers.map((value) => value === undefined ? "-" : value.toFixed(0)),
    cache_hit_rate === null ? "-" : percent(cache_hit_rate),
  ];
}

function line(name: string, cells: readonly string[]): string {
  return `${name.padEnd(16)}${cells.map((cell) => cell.padStart(11)).join("")}`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
