/** How much room a disk has. Knows no format and no model. */
import { statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";

/** Bytes free where `path` is or will be; Infinity where the system does not tell. */
export async function freeBytes(path: string): Promise<number> {
  for (let at = resolve(path);; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch {
      if (at === dirname(at)) return Infinity;
    }
  }
}
