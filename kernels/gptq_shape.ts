/**
 * What a quantised matrix looks like to the kernels that multiply by it.
 *
 * Knows the constants both of them declare; knows no WGSL.
 */
import { NUMBERS, type Numbers } from "./activation.ts";

/** What happens to a product before it is stored. */
export const EPILOGUE = { store: 0, gelu: 1, add: 2 } as const;

export interface MatrixShape {
  bits: number;
  inFeatures: number;
  outFeatures: number;
  /** Inputs that share a scale, a multiple of 32; `inFeatures` when there are no groups. */
  groupSize: number;
  epilogue: keyof typeof EPILOGUE;
  /** Of the chunks read and written. Default: 2. */
  numbers?: Numbers;
}

/** The override constants of `gptq_gemv` and `gptq_gemm`. */
export function matrixConstants(shape: MatrixShape): Record<string, number> {
  return {
    BITS: shape.bits,
    IN: shape.inFeatures,
    OUT: shape.outFeatures,
    GROUP_SIZE: shape.groupSize,
    EPILOGUE: EPILOGUE[shape.epilogue],
    NUMBERS: NUMBERS[shape.numbers ?? "int16"],
  };
}
