/** The table and the comparison, of figures made up here. */
import assert from "node:assert/strict";
import { type Figures, parseFigures } from "../../../routes/bench/figures.ts";
import { compare, table } from "../../../routes/bench/report.ts";

const FIGURES: Figures = {
  date: "2026-01-02T03:04:05.678Z",
  commit: "0123456789abcdef0123456789abcdef01234567",
  model: "claire-7b",
  short: false,
  adapter: "Some GPU",
  path: "persistent",
  bits: 4,
  group: 128,
  act_order: true,
  activations: "int16",
  deterministic: false,
  prompt_lookup: 0,
  decode_tok_s: { "128": 800, "1900": 500 },
  decode_gb_s: { "128": 2900.4, "1900": 1800 },
  forward_tok_s: { "128": 1000, "1900": 600 },
  prefill_tok_s: { "35": 1234.5678 },
  ttft_ms: 12.345678,
  ttft_prompt_tokens: 35,
  stream_gap_p99_ms: 9,
  load_s: 4.2,
  gpu_memory_bytes: 4_500_000_000,
  logits_nmse: 1.5e-9,
  plain: null,
  lookup: null,
  decode_kernels: [
    { name: "decode_layers", ms: 0.75, gb_s: 4000 },
    { name: "embed", ms: 0.002, gb_s: null },
  ],
  prefill_kernels: [{ name: "up", ms: 3, gb_s: null }],
  prefill_rows: 256,
};

/** Lines with single spaces. */
function lines(text: string): string[] {
  return text.split("\n").map((line) => line.trim().replace(/ +/g, " "));
}

Deno.test("table: every figure with its unit, those of one name in one line", () => {
  assert.deepEqual(lines(table(FIGURES)), [
    "claire-7b: 4 bits, group 128, act-order; Some GPU, persistent path",
    "",
    "decode, context 128 800 tok/s 2900 GB/s",
    "decode, context 1900 500 tok/s 1800 GB/s",
    "forward pass alone, context 128 1000 tok/s",
    "forward pass alone, context 1900 600 tok/s",
    "prefill, tokens 35 1235 tok/s",
    "first token over HTTP 12.35 ms",
    "gap between streamed tokens, p99 9 ms",
    "load 4.2 s",
    "GPU memory, our buffers 4.5 GB",
    "logits, NMSE 1.50e-9",
    "decode kernel decode_layers 750 µs 4000 GB/s",
    "decode kernel embed 2 µs",
    "prefill kernel up 3000 µs",
    "",
    "Engine against forward pass alone, context 128: 250 µs a token for sampling, reading ids " +
    "back, the way between threads, and text.",
    "First token: of a prompt of 35 tokens, medians as everywhere else.",
    "Kernels: of one row after 128 tokens, and of 256 rows of a prompt; each over all layers, alone.",
  ]);
});

Deno.test("table: what is missing is said or left out, and a short run is called one", () => {
  const text = table({
    ...FIGURES,
    short: true,
    act_order: false,
    logits_nmse: null,
    decode_kernels: [],
    prefill_kernels: [],
  });
  assert.match(text, /^claire-7b: 4 bits, group 128; Some GPU/);
  assert.match(text, /^A short run: what it says of speed is nothing\.$/m);
  assert.match(text, /^Kernels: not timed, this GPU has no timestamps\.$/m);
  assert.doesNotMatch(text, /NMSE/);
});

Deno.test("table: modes are named, and what they gain or cost is said", () => {
  const plain = {
    path: "persistent",
    decode_tok_s: { "128": 1000, "1900": 400 },
    prefill_tok_s: { "35": 617.2839 },
  };
  const lookup = {
    likeliest: { tok_s: 1500, plain_tok_s: 1000, guessed: 400, guessed_right: 390 },
    drawn: { tok_s: 990, plain_tok_s: 1000, guessed: 8, guessed_right: 0 },
  };
  const modes = { activations: "int8", deterministic: true, prompt_lookup: 4 };
  const shown = lines(table({ ...FIGURES, path: "portable", ...modes, plain, lookup }));
  assert.equal(
    shown[0],
    "claire-7b: 4 bits, group 128, act-order; Some GPU, portable path, int8, deterministic, " +
      "prompt lookup of 4",
  );
  for (
    const line of [
      "plain decode, context 128 1000 tok/s",
      "plain prefill, tokens 35 617.3 tok/s",
      "likeliest tokens, guessed 1500 tok/s",
      "likeliest tokens, plain 1000 tok/s",
      "Against plain, persistent path: decode 128: -20.0 %, 1900: +25.0 %; prefill 35: +100.0 %.",
      "Prompt lookup, likeliest tokens: +50.0 %; of 400 guesses 390 were right.",
      "Prompt lookup, drawn tokens: -1.0 %; of 8 guesses 0 were right.",
    ]
  ) assert(shown.includes(line), line);
});

Deno.test("figures: what runs before there were modes wrote is read, as runs without", () => {
  const { activations: _a, deterministic: _d, prompt_lookup: _p, ...rest } = FIGURES;
  const { plain: _, lookup: __, ...older } = rest;
  assert.deepEqual(parseFigures(JSON.stringify(older)), FIGURES);
});

Deno.test("compare: the change in per cent, of what both runs have", () => {
  const before: Figures = {
    ...FIGURES,
    commit: null,
    path: "portable",
    decode_tok_s: { "128": 640, "1024": 600 },
    prefill_tok_s: { "35": 1234.5678 },
    ttft_ms: 24.691356,
    logits_nmse: null,
    decode_kernels: [{ name: "embed", ms: 0.001, gb_s: null }],
  };
  const found = lines(compare(FIGURES, before));
  assert.equal(found[0], "Against 2026-01-02T03:04:05.678Z:");
  assert.equal(found[1], "path was portable, is persistent");
  assert(found.includes("decode, context 128 640 800 tok/s +25.0 %"));
  assert(found.includes("prefill, tokens 35 1235 1235 tok/s +0.0 %"));
  assert(found.includes("first token over HTTP 24.69 12.35 ms -50.0 %"));
  assert(found.includes("decode kernel embed 1 2 µs +100.0 %"));
  assert(!found.some((line) => /NMSE|decode_layers|context 1024/.test(line)));
  assert.match(
    compare(FIGURES, FIGURES),
    /^Against 2026-01-02T03:04:05.678Z, commit 0123456789:\n/,
  );
});

Deno.test("figures are read back as they were written, and nothing else is", () => {
  assert.deepEqual(parseFigures(JSON.stringify(FIGURES)), FIGURES);
  const { ttft_ms: _, ...without } = FIGURES;
  for (const text of ["", "null", "[]", "{}", JSON.stringify(without)]) {
    assert.equal(parseFigures(text), undefined);
  }
});
