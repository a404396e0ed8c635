/**
 * What each row asks of the sampler, as the parameters of the sampling kernels.
 *
 * Knows what a field of `Sampling` means to which kernel, and where each kernel finds its part of
 * one buffer. Knows no GPU.
 */
import { CHOICE_BYTES, writeChoice } from "../kernels/choose.ts";
import { DRAW_BYTES, writeDraw } from "../kernels/draw.ts";
import {
  type Truncation,
  TRUNCATION_BYTES,
  truncationProgram,
  writeTruncation,
} from "../kernels/narrow.ts";
import { PENALTIES_BYTES, writePenalties } from "../kernels/penalize.ts";
import { MOST_CANDIDATES } from "../kernels/shortlist.ts";
import { GREEDY, type Sampling } from "./engine.ts";

export interface SampleRow {
  /** The sequence's place in what the sampler remembers. */
  slot: number;
  sampling: Sampling;
  /** Tokens generated before this one. */
  drawIndex: number;
  /** Tokens of prompt and answer before this one. */
  contextLength: number;
  /** Length of the lists of best tokens, 0 to MAX_TOP_TOKENS. */
  topTokens: number;
  /** Report on this token instead of choosing one; nothing is remembered. */
  forced?: number;
}

/** What the rows of a step need beside the kernels that every row needs. */
export interface Needs {
  /**
   * Whether the step goes the short way: two dispatches, the best tokens of each chunk and `select`.
   * All of its rows must be able to, or the whole step goes the long way; both compute the same.
   */
  shortlist: boolean;
  /** Passes of truncation. */
  passes: number;
  draw: boolean;
  lists: boolean;
}

export const NO_NEEDS: Needs = { shortlist: false, passes: 0, draw: false, lists: false };

const ONLY_SHORTLIST: Needs = { ...NO_NEEDS, shortlist: true };

/** Bytes of a row's parameters, by kind. */
const ROW_BYTES = {
  penalties: PENALTIES_BYTES,
  truncation: TRUNCATION_BYTES,
  draw: DRAW_BYTES,
  choice: CHOICE_BYTES,
} as const;

type Kind = keyof typeof ROW_BYTES;

export interface Range {
  offset: number;
  size: number;
}

const KEEP_ALL: Truncation = { temperature: 1, topK: 0, topP: 1, minP: 0, typicalP: 1 };

/** Below this a temperature would overflow single precision; the best token has all the weight. */
const LOWEST_TEMPERATURE = 1e-30;

/** The parameters of all rows of a step, as they are uploaded. */
export class RowParameters {
  readonly bytes: ArrayBuffer;
  readonly ranges: Record<Kind, Range>;
  readonly #views: Record<Kind, DataView>;

  /** @param shortlist whether steps may go the short way */
  constructor(maxRows: number, private readonly shortlist: boolean) {
    let end = 0;
    const place = (kind: Kind): Range => {
      const range = { offset: end, size: maxRows * ROW_BYTES[kind] };
      // WebGPU binds ranges of a buffer at multiples of 256 bytes.
      end = Math.ceil((range.offset + range.size) / 256) * 256;
      return range;
    };
    this.ranges = {
      penalties: place("penalties"),
      truncation: place("truncation"),
      draw: place("draw"),
      choice: place("choice"),
    };
    this.bytes = new ArrayBuffer(end);
    const view = (kind: Kind) => new DataView(this.bytes, this.ranges[kind].offset);
    this.#views = {
      penalties: view("penalties"),
      truncation: view("truncation"),
      draw: view("draw"),
      choice: view("choice"),
    };
  }

  /** Writes all rows. */
  write(rows: readonly SampleRow[]): Needs {
    const shortlist = this.shortlist && rows.every(fitsShortlist);
    const needs = rows.map((row, index) => this.#writeRow(row, index, shortlist));
    if (shortlist) return ONLY_SHORTLIST;
    return {
      shortlist,
      passes: needs.reduce((most, { passes }) => Math.max(most, passes), 0),
      draw: needs.some(({ draw }) => draw),
      lists: needs.some(({ lists }) => lists),
    };
  }

  #writeRow(row: SampleRow, index: number, shortlist: boolean) {
    const { slot, forced, topTokens } = row;
    const { penalties, truncation, draw, choice } = this.#views;
    const sampling = forced === undefined ? row.sampling : GREEDY;
    const draws = sampling.temperature > 0;
    const temperature = draws ? Math.max(sampling.temperature, LOWEST_TEMPERATURE) : 1;
    const wholeContext = sampling.frequencyScope === "context";
    const kept = draws ? { ...sampling, temperature } : KEEP_ALL;
    writePenalties(penalties, index, {
      slot,
      repetition: sampling.repetitionPenalty,
      frequency: sampling.frequencyPenalty / (wholeContext ? row.contextLength : 1),
      wholeContext,
      presence: sampling.presencePenalty,
      temperature,
      biased: sampling.logitBias.length > 0,
      wanted: shortlist && draws ? kept.topK + 1 : 0,
    });
    writeTruncation(truncation, index, kept);
    writeDraw(draw, index, {
      seed: sampling.seed,
      index: row.drawIndex,
      temperature: draws ? temperature : 0,
    });
    writeChoice(choice, index, {
      slot,
      mode: forced !== undefined ? "forced" : draws ? "drawn" : "greedy",
      forced: forced ?? 0,
      top: topTokens,
      temperature,
    });
    return { passes: truncationProgram(kept).length, draw: draws, lists: topTokens > 0 };
  }
}

/** No lists of best tokens; and a token that is drawn is one of few. */
function fitsShortlist({ sampling, forced, topTokens }: SampleRow): boolean {
  const { temperature, topK, typicalP } = sampling;
  const draws = forced === undefined && temperature > 0;
  const fewKept = topK >= 1 && topK <= MOST_CANDIDATES && typicalP >= 1;
  return topTokens === 0 && (!draws || fewKept);
}
