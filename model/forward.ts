/**
 * The transformer, top to bottom, one step a line.
 *
 * Knows Falcon's order of operations and which buffer each reads and writes. Knows no sequences,
 * no sampling and no files: it takes a batch of rows, each one token at one position.
 *
 *   x = embedding[token]
 *   in each layer:  x = x + dense(attention(LN x)) + down(gelu(up(LN x)))
 *   logits = embedding . LN_f(x)
 */
import { storageFrom } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/device.ts";
import type { BoundKernel } from "../gpu/kernel.ts";
import { embed } from "../kernels/embed.ts";
import { finalNorm } from "../kernels/final_norm.ts";
import { FEW_ROWS } from "../kernels/gptq_tiles.ts";
import { head } from "../kernels/head.ts";
import { headRows, headTakesHalves } from "../kernels/head_rows.ts";
import { rotaryAngles } from "../kernels/rotary_append.ts";
import type { FalconConfig } from "./config.ts";
import { type FoldedLayer, foldedLayer } from "./folded_layer.ts";
import type { KvCache } from "./kv_cache.ts";
import { bindLayer, type Layer } from "./layer.ts";
import { type Arithmetic, MOST_GEMV_ROWS } from "./multiply.ts";
import { PersistentLayers } from "./persistent_layers.ts";
import type { Row, State, StepShape } from "./state.ts";
import type { FalconWeights } from "./weights.ts";

type Rows = BoundKernel<[rows: number]>;
type Head = BoundKernel<[entries: number, rows: number]>;
type Pass = GPUComputePassEncoder;

/** One layer's kernels, each with its buffers, for one row, two, a few and many. */
interface Layers {
  /** Absent where this GPU cannot run it: then one row is as two. */
  one: FoldedLayer | undefined;
  two: Layer;
  few: Layer;
  many: Layer;
}

export class Forward {
  /** Takes the place of the layers' kernels in steps of one row, while it is there. */
  persistent: PersistentLayers | undefined;

  private constructor(
    private readonly state: State,
    private readonly kv: KvCache,
    /** Rotary angles, (positions, headDim / 2) pairs. */
    readonly angles: GPUBuffer,
    private readonly embed: Rows[],
    private readonly layers: Layers[],
    private readonly finalNorm: BoundKernel<[picks: number]>,
    private readonly head: { one: Head; rows: Head; count: number }[],
    private readonly arithmetic: Arithmetic,
  ) {}

  /** Compiles every kernel and binds every buffer; nothing is created afterwards. */
  static async create(
    gpu: Gpu,
    config: FalconConfig,
    weights: FalconWeights,
    state: State,
    kv: KvCache,
    arithmetic: Arithmetic = { numbers: "int16", deterministic: false },
  ): Promise<Forward> {
    const { hiddenSize: hidden, vocabSize: vocab, layerNormEpsilon: epsilon } = config;
    const { x, rows, picked, final, finalHalves, logits } = state;
    const embedKernel = await embed(gpu, hidden);
    const finalNormKernel = await finalNorm(gpu, hidden, epsilon);
    const headKernel = await head(gpu, { hidden, vocab });
    const headRowsKernel = await headRows(gpu, { hidden, vocab });
    const wide = headTakesHalves(gpu) ? finalHalves : final;
    const angles = storageFrom(
      gpu,
      "rotary angles",
      rotaryAngles(state.limits.maxPositions, config.headDim, config.ropeTheta),
    );
    const layers: Layers[] = [];
    for (const [i, layer] of weights.layers.entries()) {
      const around = { state, tables: kv.tables, kv: kv.layers[i], angles };
      layers.push({
        one: await foldedLayer(gpu, config, layer, state.few[i], around, arithmetic),
        two: await bindLayer(gpu, config, layer, state.few[i], around, arithmetic, "alone"),
        few: await bindLayer(gpu, config, layer, state.few[i], around, arithmetic, "few"),
        many: await bindLayer(gpu, config, layer, state.shared, around, arithmetic, "many"),
      });
    }
    return new Forward(
      state,
      kv,
      angles,
      weights.embedding.map(({ range: table, uniform: slice }) =>
        embedKernel.bind({ rows, table, x, slice })
      ),
      layers,
      finalNormKernel.bind({ x, picked, ...weights.finalNorm, y: final, halves: finalHalves }),
      weights.embedding.map(({ range: table, uniform: slice, count }) => ({
        one: headKernel.bind({ x: final, table, logits, slice }),
        rows: headRowsKernel.bind({ x: wide, table, logits, slice, rows: state.rowCount }),
        count,
      })),
      arithmetic,
    );
  }

  /** Says which rows the next step computes and which of them want logits. */
  upload(rows: readonly Row[], picks: readonly number[]): StepShape {
    if (rows.length === 1) this.persistent?.prepare();
    return this.state.upload(rows, picks, this.kv.tableWidth);
  }

  /**
   * Encodes a step of that shape, before or after its rows are uploaded: new keys and values go to
   * the cache, and `state.logits` row i gets the logits of the i-th pick.
   */
  encode(pass: GPUComputePassEncoder, { rows: n, picks, splits }: StepShape): void {
    for (const slice of this.embed) slice.dispatch(pass, n);
    if (n === 1 && this.persistent) this.persistent.encode(pass);
    else this.#encodeLayers(pass, n, splits);
    if (picks === 0) return;
    this.finalNorm.dispatch(pass, picks);
    this.#encodeHead(pass, picks);
  }

  /**
   * The kernels of a step of that shape, each for all layers: for timing them one by one. They
   * compute the step only where there is one layer.
   */
  parts({ rows: n, picks, splits }: StepShape): Record<string, (pass: Pass) => void> {
    const { persistent } = this;
    const layers: Record<string, (pass: Pass) => void> = n === 1 && persistent
      ? { decode_layers: (pass) => persistent.encode(pass) }
      : n === 1 && this.layers.every(({ one }) => one)
      ? this.#foldedParts(splits)
      : this.#layerParts(n, splits);
    return {
      embed: (pass) => this.embed.forEach((slice) => slice.dispatch(pass, n)),
      ...layers,
      final_norm: (pass) => this.finalNorm.dispatch(pass, picks),
      head: (pass) => this.#encodeHead(pass, picks),
    };
  }

  #foldedParts(splits: number): Record<string, (pass: Pass) => void> {
    const each = (encode: (layer: FoldedLayer, pass: Pass) => void) => (pass: Pass) => {
      for (const { one } of this.layers) encode(one!, pass);
    };
    return {
      norm_qkv_up: each(({ normQkvUp }, pass) => normQkvUp.dispatch(pass)),
      row_attention: each(({ attention }, pass) => attention.dispatch(pass, splits)),
      down: each(({ down }, pass) => down.dispatch(pass)),
      combine_dense: each(({ combineDense }, pass) => combineDense.dispatch(pass)),
    };
  }

  #layerParts(n: number, splits: number): Record<string, (pass: Pass) => void> {
    const each = (encode: (layer: Layer, pass: Pass) => void) => (pass: Pass) => {
      for (const layers of this.layers) encode(layerFor(layers, n), pass);
    };
    return {
      layer_norm: each(({ normForQkv, normForUp }, pass) => {
        normForQkv.dispatch(pass, n);
        normForUp?.dispatch(pass, n);
      }),
      qkv: each(({ qkv }, pass) => qkv(pass, n)),
      up: each(({ up }, pass) => up(pass, n)),
      rotary_append: each(({ rotaryAppend }, pass) => rotaryAppend.dispatch(pass, n)),
      down: each(({ down }, pass) => down(pass, n)),
      attention: each(({ attention }, pass) => attention.dispatch(pass, n, splits)),
      attention_combine: each(({ combine }, pass) => combine.dispatch(pass, n)),
      dense: each(({ dense }, pass) => dense(pass, n)),
    };
  }

  #encodeHead(pass: GPUComputePassEncoder, picks: number): void {
    for (const { one, rows, count } of this.head) {
      const kernel = picks === 1 && !this.arithmetic.deterministic ? one : rows;
      kernel.dispatch(pass, count, picks);
    }
  }

  #encodeLayers(pass: GPUComputePassEncoder, n: number, splits: number): void {
    for (const layers of this.layers) {
      const { one } = layers;
      if (n === 1 && one) {
        // Attention and down overlap: both wait for the first kernel only.
        one.normQkvUp.dispatch(pass);
        one.attention.dispatch(pass, splits);
        one.down.dispatch(pass);
        one.combineDense.dispatch(pass);
        continue;
      }
      const layer = layerFor(layers, n);
      layer.normForQkv.dispatch(pass, n);
      layer.normForUp?.dispatch(pass, n);
      // With few rows, qkv and up overlap, and so do down and attention.
      layer.qkv(pass, n);
      layer.up(pass, n);
      layer.rotaryAppend.dispatch(pass, n);
      layer.down(pass, n);
      layer.attention.dispatch(pass, n, splits);
      layer.combine.dispatch(pass, n);
      layer.dense(pass, n);
    }
  }
}

function layerFor({ two, few, many }: Layers, rows: number): Layer {
  if (rows <= MOST_GEMV_ROWS) return two;
  return rows <= FEW_ROWS ? few : many;
}
