/**
 * The bench's figures as a table, and how they differ from earlier ones.
 *
 * Knows what a person reads and compares. Measures nothing and reads no file.
 */
import type { ByTokens, Figures, KernelFigure } from "./figures.ts";

/** What is shown; name and unit together tell it from all others. */
interface Line {
  name: string;
  value: number;
  unit: string;
}

/** Every figure that a person compares, in the order in which they are read. */
function linesOf(figures: Figures): Line[] {
  const by = (name: string, values: ByTokens, unit: string) =>
    Object.entries(values).map(([tokens, value]) => ({ name: `${name} ${tokens}`, value, unit }));
  const kernels = (name: string, values: KernelFigure[]) =>
    values.flatMap(({ name: kernel, ms, gb_s }) => [
      { name: `${name} ${kernel}`, value: 1000 * ms, unit: "µs" },
      ...(gb_s === null ? [] : [{ name: `${name} ${kernel}`, value: gb_s, unit: "GB/s" }]),
    ]);
  return [
    ...by("decode, context", figures.decode_tok_s, "tok/s"),
    ...by("decode, context", figures.decode_gb_s, "GB/s"),
    ...by("forward pass alone, context", figures.forward_tok_s, "tok/s"),
    ...by("prefill, tokens", figures.prefill_tok_s, "tok/s"),
    { name: "first token over HTTP", value: figures.ttft_ms, unit: "ms" },
    { name: "gap between streamed tokens, p99", value: figures.stream_gap_p99_ms, unit: "ms" },
    { name: "load", value: figures.load_s, unit: "s" },
    { name: "GPU memory, our buffers", value: figures.gpu_memory_bytes / 1e9, unit: "GB" },
    ...(figures.logits_nmse === null
      ? []
      : [{ name: "logits, NMSE", value: figures.logits_nmse, unit: "" }]),
    ...by("plain decode, context", figures.plain?.decode_tok_s ?? {}, "tok/s"),
    ...by("plain prefill, tokens", figures.plain?.prefill_tok_s ?? {}, "tok/s"),
    ...Object.entries(figures.lookup ?? {}).flatMap(([way, { tok_s, plain_tok_s }]) => [
      { name: `${way} tokens, guessed`, value: tok_s, unit: "tok/s" },
      { name: `${way} tokens, plain`, value: plain_tok_s, unit: "tok/s" },
    ]),
    ...kernels("decode kernel", figures.decode_kernels),
    ...kernels("prefill kernel", figures.prefill_kernels),
  ];
}

/** The figures for a reader. */
export function table(figures: Figures): string {
  const { adapter, path, bits, group, act_order: order, model } = figures;
  const format = `${bits} bits, group ${group}${order ? ", act-order" : ""}`;
  const kernels = figures.decode_kernels.length > 0
    ? `Kernels: of one row after ${Object.keys(figures.decode_tok_s)[0]} tokens, and of ` +
      `${figures.prefill_rows} rows of a prompt; each over all layers, alone.`
    : "Kernels: not timed, this GPU has no timestamps.";
  return [
    `${model}: ${format}; ${adapter}, ${path} path${modesOf(figures)}`,
    ...(figures.short ? ["A short run: what it says of speed is nothing."] : []),
    "",
    ...rows(linesOf(figures)),
    "",
    overhead(figures),
    ...plainNote(figures),
    ...lookupNotes(figures),
    `First token: of a prompt of ${figures.ttft_prompt_tokens} tokens, medians as everywhere else.`,
    kernels,
  ].join("\n");
}

function modesOf({ activations, deterministic, prompt_lookup }: Figures): string {
  return [
    ...(activations === "int16" ? [] : [activations]),
    ...(deterministic ? ["deterministic"] : []),
    ...(prompt_lookup > 0 ? [`prompt lookup of ${prompt_lookup}`] : []),
  ].map((mode) => `, ${mode}`).join("");
}

/** What the arithmetic gains or costs. */
function plainNote({ plain, decode_tok_s, prefill_tok_s }: Figures): string[] {
  if (!plain) return [];
  const against = (now: ByTokens, before: ByTokens) =>
    Object.entries(now).map(([tokens, value]) => `${tokens}: ${change(value, before[tokens]!)}`)
      .join(", ");
  return [
    `Against plain, ${plain.path} path: decode ${against(decode_tok_s, plain.decode_tok_s)}; ` +
    `prefill ${against(prefill_tok_s, plain.prefill_tok_s)}.`,
  ];
}

function lookupNotes({ lookup }: Figures): string[] {
  return Object.entries(lookup ?? {}).map(([way, figure]) => {
    const { tok_s, plain_tok_s, guessed, guessed_right } = figure;
    return `Prompt lookup, ${way} tokens: ${change(tok_s, plain_tok_s)}; of ${guessed} guesses ` +
      `${guessed_right} were right.`;
  });
}

/** Figures of one name share a row. */
function rows(lines: Line[]): string[] {
  return Array.from(Map.groupBy(lines, ({ name }) => name), ([name, values]) => {
    const cells = values.map(({ value, unit }) => `${shown(value).padStart(10)} ${unit.padEnd(5)}`);
    return `  ${name.padEnd(36)} ${cells.join(" ")}`.trimEnd();
  });
}

/** What decoding costs beside the forward pass. */
function overhead({ decode_tok_s, forward_tok_s }: Figures): string {
  const [context] = Object.keys(decode_tok_s);
  const micros = 1e6 / decode_tok_s[context!]! - 1e6 / forward_tok_s[context!]!;
  return `Engine against forward pass alone, context ${context}: ${micros.toFixed(0)} µs a token ` +
    "for sampling, reading ids back, the way between threads, and text.";
}

/** The change of every figure that both runs have, in per cent of the earlier one. */
export function compare(now: Figures, before: Figures): string {
  const earlier = new Map(linesOf(before).map((line) => [key(line), line.value]));
  const differing = ([
    "adapter",
    "path",
    "bits",
    "group",
    "act_order",
    "model",
    "short",
    "activations",
    "deterministic",
    "prompt_lookup",
  ] as const)
    .filter((name) => now[name] !== before[name])
    .map((name) => `  ${name} was ${before[name]}, is ${now[name]}`);
  const lines = linesOf(now).flatMap((line) => {
    const value = earlier.get(key(line));
    if (value === undefined) return [];
    return [
      `  ${line.name.padEnd(36)} ${shown(value).padStart(10)} ${shown(line.value).padStart(10)} ` +
      `${line.unit.padEnd(5)} ${change(line.value, value).padStart(9)}`,
    ];
  });
  const commit = before.commit === null ? "" : `, commit ${before.commit.slice(0, 10)}`;
  return [`Against ${before.date}${commit}:`, ...differing, ...lines].join("\n");
}

function change(now: number, before: number): string {
  const percent = 100 * (now - before) / before;
  return `${percent >= 0 ? "+" : ""}${percent.toFixed(1)} %`;
}

function key({ name, unit }: Line): string {
  return `${name}, ${unit}`;
}

/** Four digits, as a reader wants them. */
function shown(value: number): string {
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(2);
  return value >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
}
