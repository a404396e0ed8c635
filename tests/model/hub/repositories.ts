/** Repositories for the mock hub: small models that Clairon runs, beside files that it does not need. */
import { type SynthOptions, writeSynthetic } from "../../../model/synth.ts";
import { OPTIONS } from "../synthetic.ts";
import { type Branches, MockHub, type MockHubOptions } from "./mock_hub.ts";

type Files = Branches[string];

/** A synthetic model as a repository holds it: weights outside git, the rest in it. */
export async function repository(options: Partial<SynthOptions> = {}): Promise<Files> {
  const dir = await Deno.makeTempDir();
  try {
    await writeSynthetic(dir, { ...OPTIONS, tokenizer: true, ...options });
    const files: Files = {
      "README.md": text("# Claire\n"),
      ".gitattributes": text("*.safetensors filter=lfs\n"),
      "generation_config.json": text('{"eos_token_id": 11}\n'),
      "pytorch_model.bin": { bytes: new Uint8Array(5000), lfs: true },
      "onnx/model.onnx": { bytes: new Uint8Array(5000), lfs: true },
    };
    for (const { name } of Deno.readDirSync(dir)) {
      const bytes = await Deno.readFile(`${dir}/${name}`);
      files[name] = { bytes, lfs: name.endsWith(".safetensors") };
    }
    return files;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** What of it a pull should bring. */
export const NEEDED = [
  "config.json",
  "generation_config.json",
  "model.safetensors",
  "quantize_config.json",
  "tokenizer.json",
];

export function text(content: string): Files[string] {
  return { bytes: new TextEncoder().encode(content), lfs: false };
}

/** A repository whose weights are `bytes` pseudo-random bytes: to be fetched, not to be run. */
export async function largeRepository(bytes: number): Promise<Files> {
  const files = await repository();
  const weights = new Uint8Array(bytes);
  let state = 1;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    weights[i] = state >>> 24;
  }
  return { ...files, "model.safetensors": { bytes: weights, lfs: true } };
}

export interface Place {
  hub: MockHub;
  /** An empty folder, and the cache in it. */
  home: string;
  cache: string;
  /** What a process needs to find both. */
  variables: Record<string, string>;
}

/** Runs `body` with a hub and an empty cache. */
export async function withHub(
  options: MockHubOptions,
  body: (place: Place) => Promise<void>,
): Promise<void> {
  const home = await Deno.makeTempDir();
  await using hub = new MockHub(options);
  try {
    const cache = `${home}/hub`;
    // All that could lead a process elsewhere; not HOME, where Deno keeps its packages.
    const variables = {
      HF_HOME: home,
      HF_HUB_CACHE: cache,
      HF_ENDPOINT: hub.endpoint,
      HF_TOKEN: "",
      HF_HUB_OFFLINE: "",
    };
    await body({ hub, home, cache, variables });
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

/** Every file and link under a folder, sorted: "path" or "path -> target". */
export function listing(folder: string, prefix = ""): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory, isSymlink }) => {
    const path = `${folder}/${name}`;
    if (isDirectory) return listing(path, `${prefix}${name}/`);
    return [`${prefix}${name}${isSymlink ? ` -> ${Deno.readLinkSync(path)}` : ""}`];
  }).sort();
}
