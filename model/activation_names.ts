/** The names of the forms that several rows are multiplied in; the first that a GPU has is taken. */
export const ACTIVATIONS = ["f16", "int16", "int8"] as const;
export type ActivationForm = (typeof ACTIVATIONS)[number];
