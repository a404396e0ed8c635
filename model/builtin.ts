/**
 * The model that answers when none is named: small, so that everything can be tried without a GPU
 * or a download.
 *
 * Knows where it is kept between runs and how to tell a damaged copy. `writeModel` alone knows what
 * it is: random weights for now, whose answers are words without sense.
 */

import { basename, dirname, isAbsolute, join } from "node:path";
import { writeSynthetic } from "./synth.ts";

/** What it is called where a model's name is shown. */
export const BUILTIN_NAME = "clairon-builtin";

/** Changes whenever `writeModel` writes something else, so that old copies are left alone. */
const VERSION = 1;
const FILES = ["config.json", "model.safetensors", "quantize_config.json", "tokenizer.json"];
/** Their digests, in the form of the tool sha256sum; written last. */
const SUMS = "SHA256SUMS";

type OnProgress = (done: number, total: number) => void;

/** As odd as the real one: a hidden size of 1.5 groups. Most of the tokens are made-up words. */
async function writeModel(dir: string, onProgress?: OnProgress): Promise<void> {
  await writeSynthetic(dir, {
    shape: { hiddenSize: 192, layers: 4, heads: 3, vocabSize: 2048, maxPositions: 2048 },
    bits: 4,
    groupSize: 128,
    actOrder: true,
    seed: VERSION,
    tokenizer: true,
  }, onProgress);
}

/**
 * The folder of the built-in model, which is made on first use and again when it is damaged. Any
 * number of processes may ask at the same time.
 *
 * @param onProgress called only when it is made, with bytes of weights done and in all
 * @throws the system's error when not even a temporary folder can be written
 */
export async function builtinModel(onProgress?: OnProgress): Promise<string> {
  const kept = keptFolder();
  try {
    if (kept !== undefined) return await ensure(kept, onProgress);
  } catch {
    // A cache that cannot be written, a full disk, say; what else is wrong shows below again.
  }
  return await ensure(join(await Deno.makeTempDir(), BUILTIN_NAME), onProgress);
}

/** Where the user's cache is, if there is one: see the XDG Base Directory Specification. */
function keptFolder(): string | undefined {
  const home = Deno.env.get("HOME");
  const places = [Deno.env.get("XDG_CACHE_HOME"), home && join(home, ".cache")];
  const cache = places.find((place) => place && isAbsolute(place));
  return cache && join(cache, "clairon", `builtin-${VERSION}`);
}

/** Makes the model unless it is there, whole. */
async function ensure(dir: string, onProgress?: OnProgress): Promise<string> {
  if (await isWhole(dir)) return dir;
  await Deno.mkdir(dirname(dir), { recursive: true });
  const partial = await Deno.makeTempDir({ dir: dirname(dir), prefix: `${basename(dir)}.` });
  try {
    await writeModel(partial, onProgress);
    await Deno.writeTextFile(join(partial, SUMS), await digests(partial));
    await moveTo(dir, partial);
  } finally {
    await Deno.remove(partial, { recursive: true }).catch(() => {});
  }
  return dir;
}

/** The folder at once; into a folder that exists, file by file, so that none is ever missing. */
async function moveTo(dir: string, partial: string): Promise<void> {
  try {
    await Deno.rename(partial, dir);
  } catch {
    if (await isWhole(dir)) return; // another process was faster
    for (const name of [...FILES, SUMS]) await Deno.rename(join(partial, name), join(dir, name));
  }
}

async function isWhole(dir: string): Promise<boolean> {
  try {
    return await Deno.readTextFile(join(dir, SUMS)) === await digests(dir);
  } catch {
    return false;
  }
}

async function digests(dir: string): Promise<string> {
  const lines = FILES.map(async (name) => {
    const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(join(dir, name)));
    return `${new Uint8Array(digest).toHex()}  ${name}\n`;
  });
  return (await Promise.all(lines)).join("");
}
