/**
 * The shape of the tree: imports point down, main → routes → model → kernels → gpu.
 *
 * Knows paths, imports (as `deno info` and `new Worker` lines give them) and words; no behaviour.
 * The rules are one pure function over a list of modules, so each is shown to catch a planted breach.
 */
import assert from "node:assert/strict";

const LAYERS = ["gpu", "kernels", "model", "routes", "main"];
const MAX_LINES = 250;
/** A worker's module: an import that `deno info` does not see. */
const WORKER = /new Worker\(\s*new URL\(\s*["'](\.[^"']+)["'],\s*import\.meta\.url\s*\)/g;
const LANGUAGE_MODEL = /token|logit|prompt|falcon|gptq|vocab|attention|transformer|prefill/i;
const GPU_TYPE = /\bGPU[A-Z]\w+|\bnavigator\.gpu\b/;

/** A file of the application, or of its tests where only the path matters. */
interface Module {
  /** From the root of the repository: `model/engine.ts`. */
  path: string;
  text: string;
  /** Paths of the same kind for our own files, `npm:…` for packages. */
  imports: string[];
}

function layerOf(path: string): number {
  return LAYERS.indexOf(path === "main.ts" ? "main" : path.split("/")[0]!);
}

/** What breaks the rules, a sentence each, in the order of the modules. */
function breaches(modules: Module[]): string[] {
  const paths = new Set(modules.map((module) => module.path));
  return modules.filter((module) => layerOf(module.path) >= 0).flatMap((module) => [
    ...module.imports.flatMap((target) => importBreaches(module.path, target, paths)),
    ...textBreaches(module, paths),
  ]);
}

function importBreaches(path: string, target: string, paths: Set<string>): string[] {
  const layer = LAYERS[layerOf(path)]!;
  if (/^(npm|jsr|node|data|https?):/.test(target)) {
    return layer !== "routes" && layer !== "main" && /^npm:\/?hono\b/.test(target)
      ? [`${path} imports hono: HTTP belongs to routes/`]
      : [];
  }
  const found: string[] = [];
  if (layerOf(target) < 0) {
    found.push(`${path} imports ${target}, which is no part of the application`);
  } else if (layerOf(target) > layerOf(path)) {
    found.push(`${path} imports upward: ${target}`);
  }
  if (target.endsWith(".wgsl") && layer !== "kernels") {
    found.push(`${path} imports ${target}: WGSL belongs to kernels/`);
  }
  if (layer === "routes" && /^(gpu|kernels)\//.test(target)) {
    found.push(`${path} imports ${target}: routes/ knows no GPU`);
  }
  // A file of kernels/ without WGSL of its own is a helper, which kernels may share.
  if (layer === "kernels" && target !== path && paths.has(target.replace(/\.ts$/, ".wgsl"))) {
    if (target.endsWith(".ts")) found.push(`${path} imports another kernel: ${target}`);
  }
  return found;
}

function textBreaches({ path, text }: Module, paths: Set<string>): string[] {
  const found: string[] = [];
  const name = path.match(/^kernels\/(.*)\.wgsl$/)?.[1];
  if (name !== undefined) {
    for (const part of [`kernels/${name}.ts`, `tests/kernels/${name}_test.ts`]) {
      if (!paths.has(part)) found.push(`${path} has no ${part}`);
    }
  }
  const lines = text.trimEnd().split("\n");
  if (lines.length > MAX_LINES) {
    found.push(`${path} has ${lines.length} lines, more than ${MAX_LINES}`);
  }
  if (/\/.*\.[tj]s$/.test(path) && !text.startsWith("/**")) {
    found.push(`${path} does not open with a doc comment`);
  }
  const [words, why] = path.startsWith("gpu/")
    ? [LANGUAGE_MODEL, "gpu/ knows no language model"]
    : path.startsWith("routes/")
    ? [GPU_TYPE, "routes/ knows no GPU"]
    : [undefined, ""];
  lines.forEach((line, index) => {
    const word = words && line.match(words)?.[0];
    if (word) found.push(`${path}:${index + 1} says "${word}": ${why}`);
  });
  return found;
}

const ROOT = new URL("../", import.meta.url);

async function filesUnder(folder: string, ending: RegExp): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
    const path = `${folder}${entry.name}`;
    if (entry.isDirectory) found.push(...await filesUnder(`${path}/`, ending));
    else if (ending.test(path)) found.push(path);
  }
  return found.sort();
}

/** Adds what `entry` reaches to `imports`: for each of our files, its targets in source order. */
async function follow(entry: string, imports: Map<string, string[]>): Promise<void> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", entry],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  const relative = (url: string) =>
    url.startsWith(ROOT.href) ? decodeURI(url.slice(ROOT.href.length)) : url;
  type Edge = { code?: { specifier: string }; type?: { specifier: string } };
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
    modules: { specifier: string; error?: string; dependencies?: Edge[] }[];
  };
  for (const { specifier, error, dependencies = [] } of modules) {
    assert.equal(error, undefined, `${relative(specifier)}: ${error}`);
    if (!specifier.startsWith(ROOT.href)) continue;
    const targets = dependencies.flatMap(({ code, type }) => code ?? type ?? []);
    imports.set(relative(specifier), targets.map((target) => relative(target.specifier)));
  }
}

/** The application as it is on disk, with the paths of the kernels' tests. */
async function readTree(): Promise<Module[]> {
  const files = ["main.ts"];
  for (const layer of LAYERS.slice(0, -1)) {
    files.push(...await filesUnder(`${layer}/`, /\.(ts|js|css|html|wgsl)$/));
  }
  const imports = new Map<string, string[]>();
  const tree: Module[] = [];
  for (const path of files) {
    // What main.ts does not reach is an entry of its own: a worker, a command, or a leftover.
    if (path.endsWith(".ts") && !imports.has(path)) await follow(path, imports);
    const text = await Deno.readTextFile(new URL(path, ROOT));
    const workers = Array.from(
      text.matchAll(WORKER),
      ([, target]) => new URL(target!, new URL(path, ROOT)).href.slice(ROOT.href.length),
    );
    assert.equal(
      workers.length,
      text.split("new Worker(").length - 1,
      `${path}: a worker not seen`,
    );
    tree.push({ path, text, imports: [...imports.get(path) ?? [], ...workers] });
  }
  const tests = await filesUnder("tests/kernels/", /_test\.ts$/);
  return [...tree, ...tests.map((path) => ({ path, text: "", imports: [] }))];
}

Deno.test("the application keeps to its layers", async () => {
  const tree = await readTree();
  assert.ok(tree.some(({ imports }) => imports.includes("model/engine.ts")));
  assert.deepEqual(breaches(tree), []);
});

/** A small tree without a breach; `changes` replace or add modules by path. */
function sample(changes: Record<string, Partial<Module>> = {}): Module[] {
  const imports: Record<string, string[]> = {
    "main.ts": ["routes/app.ts", "model/engine.ts", "npm:hono@4"],
    "routes/app.ts": ["model/engine.ts", "npm:/hono@4"],
    "model/engine.ts": ["model/worker.ts"],
    "model/worker.ts": ["kernels/add.ts", "gpu/device.ts"],
    "kernels/add.ts": ["kernels/add.wgsl", "kernels/shapes.ts", "gpu/device.ts"],
    "kernels/add.wgsl": [],
    "kernels/shapes.ts": ["gpu/device.ts"],
    "gpu/device.ts": ["node:buffer"],
    "tests/kernels/add_test.ts": ["kernels/add.ts"],
  };
  const tree = new Map(
    Object.entries(imports).map(([path, imports]) => [path, { path, text: "/** x */\n", imports }]),
  );
  for (const [path, change] of Object.entries(changes)) {
    tree.set(path, { ...(tree.get(path) ?? { path, text: "/** x */", imports: [] }), ...change });
  }
  return [...tree.values()];
}

Deno.test("the rules catch each planted breach", () => {
  assert.deepEqual(breaches(sample()), []);
  const planted: [Record<string, Partial<Module>>, string][] = [
    [
      { "gpu/device.ts": { imports: ["model/engine.ts"] } },
      "gpu/device.ts imports upward: model/engine.ts",
    ],
    [{ "model/worker.ts": { imports: ["main.ts"] } }, "model/worker.ts imports upward: main.ts"],
    [
      { "main.ts": { imports: ["tests/reference.ts"] } },
      "main.ts imports tests/reference.ts, which is no part of the application",
    ],
    [
      { "model/engine.ts": { imports: ["npm:/hono@4/sse"] } },
      "model/engine.ts imports hono: HTTP belongs to routes/",
    ],
    [
      { "model/engine.ts": { imports: ["kernels/add.wgsl"] } },
      "model/engine.ts imports kernels/add.wgsl: WGSL belongs to kernels/",
    ],
    [
      { "routes/app.ts": { imports: ["gpu/device.ts"] } },
      "routes/app.ts imports gpu/device.ts: routes/ knows no GPU",
    ],
    [
      { "kernels/shapes.ts": { imports: ["kernels/add.ts"] } },
      "kernels/shapes.ts imports another kernel: kernels/add.ts",
    ],
    [
      { "model/engine.ts": { text: "const x = 1;" } },
      "model/engine.ts does not open with a doc comment",
    ],
    [
      { "model/engine.ts": { text: `/** x */${"\n//".repeat(250)}` } },
      "model/engine.ts has 251 lines, more than 250",
    ],
    [
      { "gpu/device.ts": { text: "/** x */\nlet maxTokens;" } },
      'gpu/device.ts:2 says "Token": gpu/ knows no language model',
    ],
    [
      { "routes/app.ts": { text: "/** x */\nlet d: GPUDevice;" } },
      'routes/app.ts:2 says "GPUDevice": routes/ knows no GPU',
    ],
  ];
  for (const [change, breach] of planted) assert.deepEqual(breaches(sample(change)), [breach]);
  assert.deepEqual(breaches(sample({ "kernels/mul.wgsl": { text: "fn main() {}" } })), [
    "kernels/mul.wgsl has no kernels/mul.ts",
    "kernels/mul.wgsl has no tests/kernels/mul_test.ts",
  ]);
});
