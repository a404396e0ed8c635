/** The names of the forms that several rows are multiplied in. */
export const ACTIVATIONS = ["int16", "int8"] as const;
export type ActivationForm = (typeof ACTIVATIONS)[number];

/** Bytes of a number in that form. */
export function numberBytesOf(form: ActivationForm): 1 | 2 {
  return form === "int8" ? 1 : 2;
}
