/**
 * Which commit the program was checked out at, read from git's own files.
 *
 * Knows HEAD, loose and packed references, and linked worktrees. Runs no git and knows no history.
 */
import { dirname, isAbsolute, join } from "node:path";

/** The commit's 40 digits, or undefined where `root` is no checkout. */
export async function commitOf(root: string): Promise<string | undefined> {
  const folder = await gitFolder(root);
  const head = (await read(join(folder, "HEAD")))?.trim();
  if (head === undefined || !head.startsWith("ref: ")) return head;
  const name = head.slice("ref: ".length);
  const shared = (await read(join(folder, "commondir")))?.trim();
  const common = shared === undefined ? folder : join(folder, shared);
  const loose = (await read(join(common, name)))?.trim();
  if (loose !== undefined) return loose;
  const packed = (await read(join(common, "packed-refs")))?.split("\n") ?? [];
  return packed.find((line) => line.endsWith(` ${name}`))?.split(" ")[0];
}

/** In a linked worktree, `.git` is a file that names the folder. */
async function gitFolder(root: string): Promise<string> {
  const path = join(root, ".git");
  const linked = (await read(path))?.match(/^gitdir: (.*)$/m)?.[1];
  if (linked === undefined) return path;
  return isAbsolute(linked) ? linked : join(dirname(path), linked);
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch {
    return undefined;
  }
}
