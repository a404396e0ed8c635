/**
 * One process at a time: the operating system's lock on a file, as the Python client takes it.
 *
 * A process that dies loses its locks. Knows nothing of what is locked.
 */
import { dirname } from "node:path";
import { HubError } from "./error.ts";

const POLL_MILLISECONDS = 200;

/**
 * Runs `body` while this process alone holds the lock.
 *
 * @param onWait called once when another process holds it
 * @throws the signal's reason when it is aborted while waiting
 */
export async function withLock<Value>(
  path: string,
  signal: AbortSignal,
  onWait: () => void,
  body: () => Promise<Value>,
): Promise<Value> {
  await Deno.mkdir(dirname(path), { recursive: true });
  // The file stays: removing it would let two processes lock two files of one name.
  using file = await Deno.open(path, { create: true, write: true });
  for (let waited = false; !(await tryLock(file, path)); waited = true) {
    if (!waited) onWait();
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
    signal.throwIfAborted();
  }
  try {
    return await body();
  } finally {
    await file.unlock();
  }
}

async function tryLock(file: Deno.FsFile, path: string): Promise<boolean> {
  try {
    return await file.tryLock(true);
  } catch {
    throw new HubError(
      `The file system of ${path} has no locks: keep models elsewhere with HF_HUB_CACHE.`,
    );
  }
}
