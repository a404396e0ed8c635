/**
 * A quantised matrix bound to its input and output: picks the kernel by the number of rows.
 *
 * Knows which kernel is good for how many rows; knows nothing of what the matrix is for.
 */
import type { Gpu } from "../gpu/device.ts";
import type { Binding } from "../gpu/kernel.ts";
import type { Numbers } from "../kernels/activation.ts";
import { gptqGemm } from "../kernels/gptq_gemm.ts";
import { gptqGemv } from "../kernels/gptq_gemv.ts";
import type { MatrixShape } from "../kernels/gptq_shape.ts";
import { fewRows, MANY_ROWS, MOST_SOME_ROWS, SOME_ROWS, type Tile } from "../kernels/gptq_tiles.ts";
import type { LinearWeights } from "./linear.ts";
import type { State } from "./state.ts";

/** Rows up to which each reads the weights for itself. */
export const MOST_GEMV_ROWS = 2;

/** How rows are computed. */
export interface Arithmetic {
  /** What is multiplied where several rows share weights; a row alone takes "int16" for "f16". */
  numbers: Numbers;
  /** Whether a row is computed in the same order whatever else the step holds. */
  deterministic: boolean;
}

/** Rows of the steps that a kernel is for: a row or two, as many as `FEW_ROWS`, or any number. */
export type Company = "alone" | "few" | "many";

/** What steps of that company multiply. */
export function numbersOf({ numbers, deterministic }: Arithmetic, company: Company): Numbers {
  return company === "alone" && !deterministic && numbers === "f16" ? "int16" : numbers;
}

/** Encodes `y = epilogue(W x + bias)` for the first `rows` rows. */
export type Multiply = (pass: GPUComputePassEncoder, rows: number) => void;

/**
 * Returns a function that binds matrices for steps of `state`. `alsoRead` names up to two buffers
 * that the kernel after this one reads; see `gptq_gemv.ts`.
 */
export function multiplier(
  gpu: Gpu,
  { rowCount }: State,
  arithmetic: Arithmetic,
  company: Company,
) {
  const numbers = numbersOf(arithmetic, company);
  return async (
    linear: LinearWeights,
    x: GPUBuffer,
    epilogue: MatrixShape["epilogue"],
    y: GPUBuffer,
    alsoRead: readonly Binding[] = [],
  ): Promise<Multiply> => {
    const shape = { ...linear, epilogue, numbers };
    const { groups, bias } = linear;
    const [early1 = groups, early2 = groups]: readonly Binding[] = alsoRead;
    const buffers = { x, groups, bias, y, early1, early2 };
    const kernels = await kernelsFor(shape);
    const slices = linear.slices.map(({ range: weight, uniform: slice, count }) => ({
      count,
      kernels: kernels.map(({ most, kernel }) => ({
        most,
        bound: kernel.bind({ ...buffers, weight, slice, rows: rowCount }),
      })),
    }));
    return (pass, rows) => {
      for (const { count, kernels } of slices) {
        kernels.find(({ most }) => rows <= most)!.bound.dispatch(pass, count, rows);
      }
    };
  };

  /** The kernels of a matrix, each with the most rows it is taken for. */
  async function kernelsFor(shape: MatrixShape) {
    const tile = async (tile: Tile, most = Infinity) => {
      return { most, kernel: await gptqGemm(gpu, shape, tile) };
    };
    if (arithmetic.deterministic) return [await tile(SOME_ROWS)];
    if (company === "alone") return [{ most: MOST_GEMV_ROWS, kernel: await gptqGemv(gpu, shape) }];
    if (company === "few") return [await tile(fewRows(shape))];
    if (numbers === "f16") return [await tile(SOME_ROWS)];
    return [await tile(SOME_ROWS, MOST_SOME_ROWS), await tile(MANY_ROWS)];
  }
}
