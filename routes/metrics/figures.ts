/**
 * The figures that are there to be read whenever somebody asks: of the engine, and of its model.
 *
 * Knows their names (TGI's, those of vLLM that routers read, ours) and where in the engine each one
 * lies. Keeps nothing itself: a scrape reads the engine.
 */
import { Counter, Gauge, type Registry } from "prom-client";
import type { Engine, EngineInfo, EngineState, EngineStats } from "../../model/engine.ts";

const STATES: EngineState[] = ["loading", "ready", "unavailable", "draining", "lost", "closed"];

interface Figure {
  name: string;
  help: string;
  read: (stats: EngineStats) => number;
}

const running = (stats: EngineStats) => stats.running;
const waiting = (stats: EngineStats) => stats.waiting;
const blocksUsed = (stats: EngineStats) => stats.blocksUsed / Math.max(stats.blocksTotal, 1);
const queries = (stats: EngineStats) => stats.prefixQueries;
const hits = (stats: EngineStats) => stats.prefixHits;

const GAUGES: Figure[] = [
  { name: "tgi_queue_size", help: "Answers that wait for their first step.", read: waiting },
  { name: "tgi_batch_current_size", help: "Answers that are being computed.", read: running },
  {
    name: "clairon_load_progress",
    help: "How much of the model is loaded, 0 to 1.",
    read: (stats) => stats.progress,
  },
  {
    name: "clairon_kv_blocks_used",
    help: "Blocks of keys and values that running answers hold.",
    read: (stats) => stats.blocksUsed,
  },
  {
    name: "clairon_kv_blocks_total",
    help: "Blocks of keys and values that there are.",
    read: (stats) => stats.blocksTotal,
  },
];

const COUNTERS: Figure[] = [
  {
    name: "clairon_steps_total",
    help: "Steps of the GPU.",
    read: (stats) => stats.steps,
  },
  {
    name: "clairon_rows_total",
    help: "Token rows computed, of prompts and answers; divided by the steps: rows a step.",
    read: (stats) => stats.rows,
  },
  {
    name: "clairon_guesses_total",
    help: "Tokens that prompt lookup guessed.",
    read: (stats) => stats.guessesMade,
  },
  {
    name: "clairon_guesses_right_total",
    help: "Tokens that prompt lookup guessed rightly.",
    read: (stats) => stats.guessesRight,
  },
  {
    name: "clairon_restarts_total",
    help: "Times that the GPU failed and the model was loaded again.",
    read: (stats) => stats.restarts,
  },
];

/** With the label `model_name`, and only once there is a model to name: as vLLM has them. */
const VLLM_GAUGES: Figure[] = [
  { name: "vllm:num_requests_running", help: "Answers that are being computed.", read: running },
  { name: "vllm:num_requests_waiting", help: "Answers that wait to be computed.", read: waiting },
  {
    name: "vllm:kv_cache_usage_perc",
    help: "Share of the KV blocks that is in use, 0 to 1.",
    read: blocksUsed,
  },
  { name: "vllm:gpu_cache_usage_perc", help: "The same, by its older name.", read: blocksUsed },
  {
    name: "vllm:gpu_prefix_cache_hit_rate",
    help: "Share of the prompt tokens looked up that was found, 0 to 1.",
    read: (stats) => hits(stats) / Math.max(queries(stats), 1),
  },
];

const VLLM_COUNTERS: Figure[] = [
  {
    name: "vllm:prefix_cache_queries_total",
    help: "Prompt tokens looked up among the kept prefixes.",
    read: queries,
  },
  { name: "vllm:prefix_cache_hits_total", help: "Prompt tokens found there.", read: hits },
  {
    name: "vllm:gpu_prefix_cache_queries_total",
    help: "Prompt tokens looked up, by its older name.",
    read: queries,
  },
  {
    name: "vllm:gpu_prefix_cache_hits_total",
    help: "Prompt tokens found, by its older name.",
    read: hits,
  },
];

/** Registers every figure of this engine. */
export function registerFigures(registry: Registry, engine: Engine): void {
  const registers = [registry];
  let info: EngineInfo | undefined;
  engine.ready.then((ready) => info = ready, () => {});

  for (const { read, ...named } of GAUGES) {
    new Gauge({
      ...named,
      registers,
      collect() {
        this.set(read(engine.stats()));
      },
    });
  }
  for (const { read, ...named } of COUNTERS) {
    new Counter({
      ...named,
      registers,
      collect() {
        this.reset();
        this.inc(read(engine.stats()));
      },
    });
  }
  const labelNames = ["model_name"] as const;
  for (const { read, ...named } of VLLM_GAUGES) {
    new Gauge({
      ...named,
      labelNames,
      registers,
      collect() {
        if (info) this.set({ model_name: info.model }, read(engine.stats()));
      },
    });
  }
  for (const { read, ...named } of VLLM_COUNTERS) {
    new Counter({
      ...named,
      labelNames,
      registers,
      collect() {
        this.reset();
        if (info) this.inc({ model_name: info.model }, read(engine.stats()));
      },
    });
  }

  new Gauge({
    name: "clairon_engine_state",
    help: "1 for the state that the engine is in, 0 for the others.",
    labelNames: ["state"],
    registers,
    collect() {
      const { state } = engine.stats();
      for (const one of STATES) this.set({ state: one }, Number(one === state));
    },
  });
  new Counter({
    name: "clairon_cancellations_total",
    help: "Answers whose client left, by what they were waiting for.",
    labelNames: ["phase"],
    registers,
    collect() {
      const stats = engine.stats();
      this.reset();
      this.inc({ phase: "queued" }, stats.cancelledQueued);
      this.inc({ phase: "prefill" }, stats.cancelledPrefill);
      this.inc({ phase: "decode" }, stats.cancelledDecode);
      this.inc({ phase: "writing" }, stats.cancelledWriting);
    },
  });
  new Counter({
    name: "clairon_queue_refusals_total",
    help: "Answers that the queue refused: it was full, or they waited in it too long.",
    labelNames: ["reason"],
    registers,
    collect() {
      const { refusedFull, refusedLate } = engine.stats();
      this.reset();
      this.inc({ reason: "full" }, refusedFull);
      this.inc({ reason: "late" }, refusedLate);
    },
  });
  new Gauge({
    name: "vllm:cache_config_info",
    help: "1; its labels say how many KV blocks there are, and of how many tokens.",
    labelNames: [...labelNames, "block_size", "num_gpu_blocks"],
    registers,
    collect() {
      const { blocksTotal } = engine.stats();
      if (!info || blocksTotal === 0) return;
      const size = Math.round(info.kvTokens / blocksTotal);
      this.reset();
      this.set({ model_name: info.model, block_size: size, num_gpu_blocks: blocksTotal }, 1);
    },
  });
  new Gauge({
    name: "clairon_kv_tokens",
    help: "Tokens whose keys and values have room; 0 until the model is loaded.",
    registers,
    collect() {
      this.set(info?.kvTokens ?? 0);
    },
  });
  new Gauge({
    name: "clairon_gpu_memory_bytes",
    help: "Bytes of our own GPU buffers; 0 until the model is loaded.",
    registers,
    collect() {
      this.set(info?.gpuMemoryBytes ?? 0);
    },
  });
}
