/**
 * A quantised matrix bound to its input and output: picks the kernel by the number of rows.
 *
 * Knows which kernel is good for how many rows; knows nothing of what the matrix is for.
 */
import type { Gpu } from "../gpu/device.ts";
import type { Binding } from "../gpu/kernel.ts";
import { gptqGemm } from "../kernels/gptq_gemm.ts";
import { gptqGemv } from "../kernels/gptq_gemv.ts";
import type { MatrixShape } from "../kernels/gptq_shape.ts";
import type { LinearWeights } from "./linear.ts";
import type { State } from "./state.ts";

/** From here on, reading the weights once for eight rows pays. */
const MOST_GEMV_ROWS = 2;

/** Encodes `y = epilogue(W x + bias)` for the first `rows` rows. */
export type Multiply = (pass: GPUComputePassEncoder, rows: number) => void;

/**
 * Returns a function that binds matrices for steps of `state`. `alsoRead` names up to two buffers
 * that the kernel after this one reads; see `gptq_gemv.ts`.
 */
export function multiplier(gpu: Gpu, { rowCount }: State) {
  return async (
    linear: LinearWeights,
    x: GPUBuffer,
    epilogue: MatrixShape["epilogue"],
    y: GPUBuffer,
    alsoRead: readonly Binding[] = [],
  ): Promise<Multiply> => {
    const shape = { ...linear, epilogue };
    const gemv = await gptqGemv(gpu, shape);
    const gemm = await gptqGemm(gpu, shape);
    const { groups, bias } = linear;
    const [early1 = groups, early2 = groups]: readonly Binding[] = alsoRead;
    const slices = linear.slices.map(({ range: weight, uniform: slice, count }) => ({
      count,
      gemv: gemv.bind({ x, weight, groups, bias, y, slice, early1, early2 }),
      gemm: gemm.bind({ x, weight, groups, bias, y, slice, rows: rowCount }),
    }));
    return (pass, rows) => {
      for (const slice of slices) {
        const kernel = rows <= MOST_GEMV_ROWS ? slice.gemv : slice.gemm;
        kernel.dispatch(pass, slice.count, rows);
      }
    };
  };
}
