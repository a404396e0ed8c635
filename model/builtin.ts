/**
 * The model that answers when none is named: small, so that everything can be tried without a GPU
 * or a download.
 *
 * Knows where it lies in the checkout. What it is and how it was made: `tiny/README.md`.
 */
import { join } from "node:path";

/** What it is called where a model's name is shown. */
export const BUILTIN_NAME = "claire-tiny";

/** The folder of its checkpoint. */
export function builtinModel(): string {
  return join(import.meta.dirname!, "tiny");
}
