/**
 * What was measured, under the names that the JSON object has for it.
 *
 * Knows those names and their units; `figures.ts` says what each means. Measures nothing.
 */
import type { EngineInfo } from "../../model/engine.ts";
import type { KernelTime, Profile } from "../../model/profile.ts";
import type { EngineFigures } from "./engine_figures.ts";
import type { HttpFigures } from "./http_figures.ts";
import type { LookupFigure, LookupWay } from "./lookup_figures.ts";
import type { Modes } from "./modes.ts";
import type { Plan } from "./plan.ts";

/** What a run is of, and where. */
export function heading(
  { name, short, commit }: { name: string; short: boolean; commit: string | null },
  { activations, deterministic, promptLookup }: Modes,
  info: EngineInfo,
) {
  return {
    date: new Date().toISOString(),
    commit,
    model: name,
    short,
    adapter: info.adapter,
    path: info.path,
    bits: info.bits,
    group: info.groupSize,
    act_order: info.actOrder,
    activations,
    deterministic,
    prompt_lookup: promptLookup,
    load_s: info.loadSeconds,
    gpu_memory_bytes: info.gpuMemoryBytes,
  };
}

export function figuresOf(
  { contexts }: Plan,
  alone: Profile,
  engine: EngineFigures,
  http: HttpFigures,
) {
  const bytes = (context: number) => alone.decode.get(context)!.bytesPerToken;
  const by = (value: (context: number) => number) =>
    Object.fromEntries(contexts.map((context) => [context, value(context)]));
  return {
    decode_tok_s: Object.fromEntries(engine.decode),
    decode_gb_s: by((context) => engine.decode.get(context)! * bytes(context) / 1e9),
    forward_tok_s: by((context) => alone.decode.get(context)!.tokensPerSecond),
    prefill_tok_s: Object.fromEntries(engine.prefill),
    ttft_ms: http.firstToken,
    ttft_prompt_tokens: http.promptTokens,
    stream_gap_p99_ms: http.gap,
    logits_nmse: alone.nmse ?? null,
    decode_kernels: alone.decodeKernels.map(kernelFigure),
    prefill_kernels: alone.prefillKernels.kernels.map(kernelFigure),
    prefill_rows: alone.prefillKernels.rows,
  };
}

export function plainFigures({ path }: EngineInfo, { decode, prefill }: EngineFigures) {
  return {
    path,
    decode_tok_s: Object.fromEntries(decode),
    prefill_tok_s: Object.fromEntries(prefill),
  };
}

/** @param plain the same ways of choosing a token, where nothing is guessed */
export function lookupShape(
  figures: Map<LookupWay, LookupFigure>,
  plain: Map<LookupWay, LookupFigure>,
) {
  return Object.fromEntries(Array.from(figures, ([way, { tokensPerSecond, made, right }]) => {
    const plainSpeed = plain.get(way)!.tokensPerSecond;
    return [way, {
      tok_s: tokensPerSecond,
      plain_tok_s: plainSpeed,
      guessed: made,
      guessed_right: right,
    }];
  }));
}

function kernelFigure({ name, milliseconds, bytes }: KernelTime) {
  const perSecond = bytes === undefined ? null : bytes / 1e6 / milliseconds;
  return { name, ms: milliseconds, gb_s: perSecond };
}
