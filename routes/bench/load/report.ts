/**
 * The figures of `bench --load`, as a person reads them.
 *
 * Knows names and units. Measures nothing.
 */
import type { Intrusion } from "./intrusion.ts";
import type { SecondTurn } from "./second_turn.ts";
import type { LoadFigures, Percentiles } from "./tally.ts";

export interface LoadReport {
  /** When the run began, in ISO 8601. */
  date: string;
  server: string;
  api: string;
  model: string;
  /** Whether the server took top-k, repetition penalty and answers of full length. */
  full_sampling: boolean;
  /** One of both: requests at a time, or a second. */
  streams?: number;
  rate?: number;
  load?: LoadFigures;
  intrusion?: Intrusion;
  second_turn?: SecondTurn;
}

type Row = [name: string, value: string];

export function loadTable(report: LoadReport): string {
  const { server, api, model, full_sampling: full, streams, rate } = report;
  const how = rate === undefined ? `${streams} streams` : `${rate} requests a second at random`;
  const sampling = full
    ? "temperature, top-k, top-p and repetition penalty"
    : "temperature and top-p; the server takes no more, and may end answers early";
  const rows = [
    ...report.load ? loadRows(report.load) : [],
    ...report.intrusion ? intrusionRows(report.intrusion) : [],
    ...report.second_turn ? turnRows(report.second_turn) : [],
  ];
  return [
    `${model} at ${server}, ${api}: ${how}; sampling with ${sampling}.`,
    "",
    ...rows.map(([name, value]) => `  ${name.padEnd(38)} ${value}`),
  ].join("\n");
}

function loadRows(figures: LoadFigures): Row[] {
  const errors = Object.entries(figures.errors).map(([kind, count]) => `${kind}: ${count}`);
  return [
    ["requests answered", `${figures.requests} in ${shown(figures.seconds)} s`],
    ["errors", errors.join(", ") || "none"],
    ...(figures.cut > 0 ? [["cut off", String(figures.cut)] satisfies Row] : []),
    ["prompt, answer, tokens (mean)", shown(figures.prompt_tokens, figures.answer_tokens)],
    ["tokens/s in all", shown(figures.tokens_per_s)],
    ["tokens/s of a stream (mean)", shown(figures.stream_tokens_per_s)],
    ["slowest stream against the mean", percent(figures.slowest_to_mean)],
    ["time to first token, ms", spread(figures.ttft_ms)],
    ["time per token, ms", spread(figures.per_token_ms)],
    ["gap between events, ms", spread(figures.gap_ms)],
    ...(figures.counted_by_server
      ? []
      : [["tokens", "the server tells no usage: events were counted"] satisfies Row]),
  ];
}

function intrusionRows(figures: Intrusion): Row[] {
  return [
    ["prompt that arrives, tokens", shown(figures.intruder_tokens)],
    ["its first token, ms", spread(figures.intruder_ttft_ms)],
    ["gaps of the streams meanwhile, ms", spread(figures.gap_ms)],
    ["gaps before and after, ms", spread(figures.quiet_gap_ms)],
  ];
}

function turnRows(figures: SecondTurn): Row[] {
  const { first_tokens, second_tokens, cached_tokens } = figures;
  return [
    ["prompts of both turns, tokens", shown(first_tokens, second_tokens)],
    ["of the second, kept by the server", shown(cached_tokens)],
    ["time to first token, ms (medians)", shown(figures.first_ttft_ms, figures.second_ttft_ms)],
    [`second against first, ${figures.dialogues} dialogues`, percent(figures.second_to_first)],
  ];
}

function spread(values: Percentiles | null): string {
  if (values === null) return "not measured";
  return Object.entries(values).map(([name, value]) => `${name} ${shown(value)}`).join("   ");
}

function percent(value: number | null): string {
  return value === null ? "not measured" : `${(100 * value).toFixed(1)} %`;
}

/** Four digits each. */
function shown(...values: (number | null)[]): string {
  return values.map((value) => {
    if (value === null) return "not told";
    return value >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
  }).join(", ");
}
