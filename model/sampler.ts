/**
 * From logits to the next token of each row, on the GPU.
 *
 * Knows what the GPU remembers of each sequence, and the steps it can run before it is read. Knows
 * no text, no request and no schedule.
 *
 * What happens to a row, and in which order, is what Hugging Face's logits processors do: biases,
 * penalties, temperature, top-k, top-p, min-p, typical-p, then a draw. Greedy rows take the best
 * token after the penalties, the lowest id of equals.
 */
import { storageBuffer, storageFrom } from "../gpu/buffer.ts";
import { type Gpu, GpuError } from "../gpu/device.ts";
import type { Readback } from "../gpu/readback.ts";
import { readResult, type Result, RESULT_BYTES } from "../kernels/choose.ts";
import { candidateBytes } from "../kernels/penalize.ts";
import { powersOfTwo } from "../kernels/probability.ts";
import { canSelect } from "../kernels/select.ts";
import { chunksOf, MAX_VOCAB, STATE_BYTES } from "../kernels/sampling_state.ts";
import { HISTOGRAM_BYTES } from "../kernels/truncate.ts";
import type { LogitBias } from "./engine.ts";
import type { Needs, SampleRow } from "./sample_row.ts";
import { SamplingStep } from "./sampling_step.ts";

export { type Needs, NO_NEEDS, type SampleRow } from "./sample_row.ts";

/** A row's token and log-probabilities, natural ones. */
export type SampledRow = Result;

export interface SamplerShape {
  vocabSize: number;
  /** Most rows of a step. */
  maxRows: number;
  /** Sequences whose tokens are remembered. */
  slots: number;
  logits: GPUBuffer; // (maxRows, vocabSize)
  /** Steps that can be encoded before the first is read, each with its own rows. Default: 1. */
  steps?: number;
  /** Most rows of those that follow the first. Default: as many as that has. */
  rowsThatFollow?: number;
  /**
   * Whether steps may take the short way, see `Needs`; the tokens are the same. Default: where the
   * GPU can. */
  shortlist?: boolean;
}

export class Sampler {
  /** Bytes of the result of one row. */
  readonly resultBytes = RESULT_BYTES;

  private constructor(
    private readonly gpu: Gpu,
    private readonly vocabSize: number,
    private readonly steps: SamplingStep[],
    private readonly counts: GPUBuffer, // (slots, vocab): prompt << 16 | generated
    private readonly biases: GPUBuffer, // (slots, vocab)
    /** Penalised logits, -Infinity where removed; the temperature is not applied. */
    readonly scores: GPUBuffer, // (rows, vocab)
    /** The token last chosen in each slot. */
    readonly sampled: GPUBuffer, // (slots)
    /** How far each row was truncated: what it removes may still be among the scores. */
    readonly cuts: GPUBuffer, // (rows)
  ) {}

  /**
   * Compiles every kernel and makes every buffer; nothing is created afterwards.
   *
   * @throws {GpuError} when the vocabulary, the rows or the slots are more than the kernels can see.
   */
  static async create(gpu: Gpu, shape: SamplerShape): Promise<Sampler> {
    const { vocabSize: vocab, maxRows, slots, logits, steps = 1 } = shape;
    const { rowsThatFollow = maxRows, shortlist = canSelect(gpu) } = shape;
    checkShape(gpu, shape);
    const chunks = chunksOf(vocab);
    const perRow = (label: string, bytes: number) => storageBuffer(gpu, label, maxRows * bytes);
    const buffers = {
      logits,
      scores: perRow("scores", vocab * 4),
      parts: perRow("softmax parts", chunks * STATE_BYTES.part),
      summaries: perRow("softmax summaries", STATE_BYTES.summary),
      cuts: perRow("cuts", STATE_BYTES.cut),
      histogram: perRow("histogram", HISTOGRAM_BYTES),
      candidates: perRow("candidates", candidateBytes(chunks)),
      runners: perRow("runners", chunks * STATE_BYTES.runner),
      powers: storageFrom(gpu, "powers of two", powersOfTwo()),
      counts: storageBuffer(gpu, "counts", slots * vocab * 4),
      biases: storageBuffer(gpu, "biases", slots * vocab * 4),
      sampled: storageBuffer(gpu, "sampled", slots * 4),
    };
    const all: SamplingStep[] = [];
    while (all.length < steps) {
      const rows = all.length === 0 ? maxRows : rowsThatFollow;
      all.push(await SamplingStep.create(gpu, vocab, rows, buffers, shortlist));
    }
    const { counts, biases, scores, sampled, cuts } = buffers;
    return new Sampler(gpu, vocab, all, counts, biases, scores, sampled, cuts);
  }

  /**
   * A new sequence takes the slot: from the next submit on, only these tokens occurred, and rows
   * that ask for biases get these.
   *
   * @param generated tokens of the answer that are there already, when a sequence is taken up again
   */
  reset(
    slot: number,
    prompt: readonly number[],
    generated: readonly number[] = [],
    logitBias: readonly LogitBias[] = [],
  ): void {
    const { queue } = this.gpu.device;
    const counts = new Uint32Array(this.vocabSize);
    for (const id of prompt) counts[id] += 1 << 16;
    for (const id of generated) counts[id] += 1;
    queue.writeBuffer(this.counts, slot * counts.byteLength, counts);
    // A row without biases does not look at what an earlier sequence left here.
    if (logitBias.length === 0) return;
    const biases = new Float32Array(this.vocabSize);
    for (const [id, bias] of logitBias) biases[id] = bias;
    queue.writeBuffer(this.biases, slot * biases.byteLength, biases);
  }

  /** Says what the rows of a step ask for, from the next submit on; row i is row i of the logits. */
  upload(rows: readonly SampleRow[], step = 0): Needs {
    return this.steps[step].upload(rows);
  }

  /**
   * Encodes a step of as many rows as were uploaded, or, given what they will need, of rows that are
   * uploaded before the submit. Rows that choose a token have slots of their
   * own; it is counted and written to `sampled` before anything encoded later.
   */
  encode(pass: GPUComputePassEncoder, rows: number, step = 0, needs?: Needs): void {
    this.steps[step].encode(pass, rows, needs);
  }

  /** Encodes the copy of a step's first `rows` results to a byte of the read-back. */
  copyResults(
    encoder: GPUCommandEncoder,
    readback: Readback,
    rows: number,
    at = 0,
    step = 0,
  ): void {
    readback.copy(encoder, this.steps[step].results, 0, rows * RESULT_BYTES, at);
  }

  /** Reads what `copyResults` copied to that byte, for the rows uploaded. */
  parse(results: ArrayBuffer, rows: readonly SampleRow[], at = 0): SampledRow[] {
    const view = new DataView(results, at);
    return rows.map((row, i) => readResult(view, i * RESULT_BYTES, row.topTokens));
  }
}

function checkShape(gpu: Gpu, { vocabSize, maxRows, slots }: SamplerShape): void {
  if (vocabSize > MAX_VOCAB) {
    throw new GpuError(`sampling: a vocabulary of ${vocabSize} is above ${MAX_VOCAB}`);
  }
  const most = Math.floor(gpu.maxBindingBytes / (vocabSize * 4));
  for (const [name, count] of Object.entries({ rows: maxRows, slots })) {
    if (count > most) {
      throw new GpuError(
        `sampling: ${count} ${name} of ${vocabSize} tokens do not fit the GPU's ` +
          `${gpu.maxBindingBytes} bytes a binding, which hold ${most}`,
      );
    }
  }
}
