/** The names of the ways that decoding may take; `path.ts` chooses among them. */
export const PATHS = ["auto", "portable", "persistent"] as const;
export type Path = (typeof PATHS)[number];
