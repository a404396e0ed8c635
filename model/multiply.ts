/**
 * A quantised matrix bound to its input and output: picks the kernel by the number of rows.
 *
 * Knows which kernel is good for how many rows; knows nothing of what the matrix is for.
 */
import type { Gpu } from "../gpu/device.ts";
import type { Binding } from "../gpu/kernel.ts";
import type { NumberBytes } from "../kernels/activation.ts";
import { gptqGemm } from "../kernels/gptq_gemm.ts";
import { gptqGemv } from "../kernels/gptq_gemv.ts";
import type { MatrixShape } from "../kernels/gptq_shape.ts";
import { FEW_ROWS, fewRows, MANY_ROWS, MOST_SOME_ROWS, SOME_ROWS } from "../kernels/gptq_tiles.ts";
import type { LinearWeights } from "./linear.ts";
import type { State } from "./state.ts";

/** Rows up to which each reads the weights for itself. */
const MOST_GEMV_ROWS = 2;

/** How rows are computed. */
export interface Arithmetic {
  /** Bytes of a number that matrices are multiplied with: 1 is faster and coarser. */
  numberBytes: NumberBytes;
  /** Whether a row is computed in the same order whatever else the step holds. */
  deterministic: boolean;
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
  { numberBytes, deterministic }: Arithmetic,
) {
  return async (
    linear: LinearWeights,
    x: GPUBuffer,
    epilogue: MatrixShape["epilogue"],
    y: GPUBuffer,
    alsoRead: readonly Binding[] = [],
  ): Promise<Multiply> => {
    const shape = { ...linear, epilogue, numberBytes };
    const gemv = await gptqGemv(gpu, shape);
    const few = await gptqGemm(gpu, shape, fewRows(shape));
    const some = await gptqGemm(gpu, shape, SOME_ROWS);
    const many = await gptqGemm(gpu, shape, MANY_ROWS);
    const { groups, bias } = linear;
    const [early1 = groups, early2 = groups]: readonly Binding[] = alsoRead;
    const slices = linear.slices.map(({ range: weight, uniform: slice, count }) => {
      const buffers = { x, weight, groups, bias, y, slice, early1, early2 };
      return {
        count,
        gemv: gemv.bind(buffers),
        few: few.bind({ ...buffers, rows: rowCount }),
        some: some.bind({ ...buffers, rows: rowCount }),
        many: many.bind({ ...buffers, rows: rowCount }),
      };
    });
    return (pass, rows) => {
      for (const slice of slices) slice[kernelFor(rows)].dispatch(pass, slice.count, rows);
    };

    function kernelFor(rows: number) {
      if (deterministic) return "some";
      if (rows <= MOST_GEMV_ROWS) return "gemv";
      if (rows <= FEW_ROWS) return "few";
      return rows <= MOST_SOME_ROWS ? "some" : "many";
    }
  };
}
