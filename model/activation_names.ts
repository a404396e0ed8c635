/** The names of the forms that several rows are multiplied in; the first is the usual one. */
export const ACTIVATIONS = ["int16", "f16", "int8"] as const;
export type ActivationForm = (typeof ACTIVATIONS)[number];
