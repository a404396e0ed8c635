/** `bench --short` as a process: figures of any size, all of them there. */
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import assert from "node:assert/strict";
import { parseFigures } from "../../../routes/bench/figures.ts";
import { committedGolden } from "../../golden.ts";

const MAIN = fileURLToPath(new URL("../../../main.ts", import.meta.url));
/** No tokenizer: the bench brings one. Its golden.json makes it its own reference. */
const MODEL = committedGolden("q4-g128-act");

async function bench(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, "bench", ...args],
    env: { NO_COLOR: "1", MODEL: "" },
  }).output();
  const text = new TextDecoder();
  // Drivers of the system say things there before we do.
  const ours = text.decode(stderr).replace(/^.*XDG_RUNTIME_DIR.*\n/gm, "");
  return { code, stdout: text.decode(stdout), stderr: ours };
}

Deno.test("bench: the last line holds every figure, and an earlier run is compared with", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "figures.json");
    const common = ["--short", "--model", MODEL, "--path", "portable"];
    const reference = ["--reference", MODEL];
    const first = await bench(...common, ...reference, "--json", file);
    assert.equal(first.code, 0, first.stderr);
    const last = first.stdout.trimEnd().split("\n").at(-1)!;
    assert.equal(await Deno.readTextFile(file), `${last}\n`);
    const figures = parseFigures(last)!;
    assert.deepEqual(JSON.parse(last), figures);

    const { adapter, path, bits, group, act_order: order, logits_nmse: nmse, short } = figures;
    assert.match(adapter, /./);
    assert.deepEqual([path, bits, group, order, short], ["portable", 4, 128, true, true]);
    assert(nmse !== null && nmse > 0 && nmse <= 1e-5, `NMSE ${nmse}`);
    assert.deepEqual(Object.keys(figures.decode_tok_s), Object.keys(figures.decode_gb_s));
    assert.deepEqual(Object.keys(figures.decode_tok_s), Object.keys(figures.forward_tok_s));
    const numbers = [
      ...[figures.decode_tok_s, figures.decode_gb_s, figures.forward_tok_s, figures.prefill_tok_s]
        .flatMap((values) => {
          assert(Object.keys(values).length > 0);
          return Object.values(values);
        }),
      figures.ttft_ms,
      figures.ttft_prompt_tokens,
      figures.stream_gap_p99_ms,
      figures.load_s,
      figures.gpu_memory_bytes,
      ...[...figures.decode_kernels, ...figures.prefill_kernels].map(({ ms }) => ms),
    ];
    for (const number of numbers) assert(Number.isFinite(number) && number > 0, `${numbers}`);
    const kernels = figures.decode_kernels.filter(({ gb_s }) => gb_s !== null);
    const streamed = ["combine_dense", "down", "head", "norm_qkv_up", "row_attention"];
    assert.deepEqual(kernels.map(({ name }) => name).sort(), streamed);

    const second = await bench(...common, "--compare", file);
    assert.equal(second.code, 0, second.stderr);
    assert.match(second.stdout, new RegExp(`^Against ${figures.date}`, "m"));
    assert.match(second.stdout, /^ +first token over HTTP +\S+ +\S+ ms +[-+]\d+\.\d %$/m);
    assert.deepEqual([figures.plain, figures.lookup], [null, null]);
    const without = parseFigures(second.stdout.trimEnd().split("\n").at(-1)!)!;
    assert.equal(without.logits_nmse, null);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("bench: modes are measured against the same engine without them, in one run", async () => {
  const common = ["--short", "--model", MODEL, "--reference", MODEL];
  const all = await bench(...common, "--activations=int8", "--deterministic", "--prompt-lookup=4");
  assert.equal(all.code, 0, all.stderr);
  const figures = parseFigures(all.stdout.trimEnd().split("\n").at(-1)!)!;
  const { activations, deterministic, prompt_lookup: guesses, logits_nmse: nmse } = figures;
  assert.deepEqual([activations, deterministic, guesses], ["int8", true, 4]);
  // Coarser than int16 can be, and still near.
  assert(nmse !== null && nmse > 1e-5 && nmse < 1e-2, `NMSE ${nmse}`);
  assert.deepEqual(Object.keys(figures.plain!.decode_tok_s), Object.keys(figures.decode_tok_s));
  assert.deepEqual(Object.keys(figures.plain!.prefill_tok_s), Object.keys(figures.prefill_tok_s));
  assert.deepEqual(Object.keys(figures.lookup!), ["likeliest", "drawn"]);
  const { likeliest } = figures.lookup!;
  assert(likeliest!.tok_s > 0 && likeliest!.plain_tok_s > 0);
  assert(likeliest!.guessed >= likeliest!.guessed_right);
});

Deno.test("bench: wrong arguments get a sentence and 2, a wrong model 1, before any measuring", async () => {
  const none = await bench("--compare", "no/such/file");
  assert.deepEqual([none.code, none.stdout], [2, ""]);
  assert.match(none.stderr, /^--compare no\/such\/file cannot be read: /);
  const wrong = await bench("--compare", MAIN);
  assert.equal(wrong.code, 2);
  assert.equal(wrong.stderr, `--compare ${MAIN} should be a file that bench --json wrote.\n`);
  const path = await bench("--path", "fast");
  assert.equal(path.code, 2);
  assert.match(path.stderr, /^--path must be auto, portable or persistent, found "fast"\.\n$/);
  const form = await bench("--activations", "int4");
  assert.equal(form.code, 2);
  assert.match(form.stderr, /^--activations must be int16, f16 or int8, found "int4"\.\n$/);
  const model = await bench("--model", "no/such/folder");
  assert.equal(model.code, 1);
  assert.match(model.stderr, /^"no\/such\/folder": the model should be a folder .*\n$/);
  assert.match((await bench("--help")).stdout, /^Measure how fast/);
});
