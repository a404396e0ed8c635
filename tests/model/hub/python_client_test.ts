/**
 * Against Hugging Face's own client: what either fetches the other finds.
 *
 * Needs Python with the package huggingface_hub (`pip install huggingface_hub`); without it these
 * tests are reported as ignored.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { findCached } from "../../../model/hub/cached.ts";
import { pull } from "../../../model/hub/pull.ts";
import { hubSettings } from "../../../model/hub/settings.ts";
import { commitOf, REPO } from "./mock_hub.ts";
import { listing, NEEDED, repository, withHub } from "./repositories.ts";

async function python(script: string, variables: Record<string, string>): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("python3", {
    args: ["-c", script],
    env: { HF_HUB_DISABLE_XET: "1", HF_HUB_DISABLE_PROGRESS_BARS: "1", ...variables },
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

async function isThere(): Promise<boolean> {
  try {
    await python("import huggingface_hub", {});
    return true;
  } catch {
    return false;
  }
}

const ignore = !(await isThere());
const branches = { main: await repository(), "gptq-8bit/x": await repository({ bits: 8 }) };

for (const revision of ["main", "gptq-8bit/x", commitOf("main")]) {
  Deno.test({
    name: `the Python client finds, offline, what pull fetched: ${revision}`,
    ignore,
    fn: () =>
      withHub({ branches }, async ({ hub, cache, variables }) => {
        const pulled = await pull({ repo: REPO, revision }, { settings: hubSettings(variables) });
        const asked = hub.seen.length;
        const offline = { ...variables, HF_HUB_OFFLINE: "1" };
        const found = await python(
          `from huggingface_hub import snapshot_download, hf_hub_download, scan_cache_dir
print(snapshot_download("${REPO}", revision="${revision}", local_files_only=True))
print(hf_hub_download("${REPO}", "model.safetensors", revision="${revision}"))
[repo] = scan_cache_dir().repos
print(repo.repo_id, [sorted(f.file_name for f in r.files) for r in repo.revisions])
print([sorted(r.refs) for r in repo.revisions], len(scan_cache_dir().warnings))`,
          offline,
        );
        const refs = revision === pulled.commit ? "[]" : `['${revision}']`;
        assert.deepEqual(found.split("\n"), [
          pulled.folder,
          join(pulled.folder, "model.safetensors"),
          `${REPO} [[${NEEDED.map((name) => `'${name}'`).join(", ")}]]`,
          `[${refs}] 0`,
        ]);
        assert.equal(hub.seen.length, asked);
        assert.ok(pulled.folder.startsWith(cache));
      }),
  });

  Deno.test({
    name: `pull finds what the Python client fetched, and fetches nothing: ${revision}`,
    ignore,
    fn: () =>
      withHub({ branches }, async ({ hub, cache, variables }) => {
        const script = `from huggingface_hub import snapshot_download
print(snapshot_download("${REPO}", revision="${revision}", ignore_patterns=["*.bin"]))`;
        const folder = await python(script, variables);
        const before = listing(join(cache, "models--TheBloke--Claire-7B-0.1-GPTQ"));
        const settings = hubSettings(variables);
        const source = { repo: REPO, revision };
        assert.equal((await findCached(source, settings))?.folder, folder);
        const asked = hub.seen.length;
        const pulled = await pull(source, { settings });
        assert.deepEqual([pulled.folder, pulled.fetchedBytes], [folder, 0]);
        assert.ok(hub.seen.slice(asked).every(({ file, method }) => !file || method === "HEAD"));
        assert.deepEqual(listing(join(cache, "models--TheBloke--Claire-7B-0.1-GPTQ")), before);
      }),
  });
}

Deno.test({
  name: "a plain folder that either filled is complete for the other",
  ignore,
  fn: () =>
    withHub({ branches }, async ({ hub, home, variables }) => {
      const settings = hubSettings(variables);
      const source = { repo: REPO, revision: "main" };
      const localDir = join(home, "ours");
      await pull(source, { settings, localDir });
      const script = (dir: string) =>
        `from huggingface_hub import snapshot_download
snapshot_download("${REPO}", local_dir="${dir}", allow_patterns=["*.json", "*.safetensors"])`;
      let asked = hub.seen.length;
      await python(script(localDir), variables);
      const gets = () =>
        hub.seen.slice(asked).filter(({ file, method }) => file && method === "GET");
      assert.deepEqual(gets(), []);

      const theirs = join(home, "theirs");
      await python(script(theirs), variables);
      asked = hub.seen.length;
      const pulled = await pull(source, { settings, localDir: theirs });
      assert.equal(pulled.fetchedBytes, 0);
      assert.deepEqual(gets(), []);
    }),
});

Deno.test({
  name: "while the Python client's lock is held, pull waits",
  ignore,
  fn: () =>
    withHub({ branches }, async ({ cache, variables }) => {
      const { createHash } = await import("node:crypto");
      const weights = branches.main["model.safetensors"]!.bytes;
      const hash = createHash("sha256").update(weights).digest("hex");
      const lock = join(cache, ".locks", `models--${REPO.replace("/", "--")}`, `${hash}.lock`);
      await Deno.mkdir(join(lock, ".."), { recursive: true });
      const holder = new Deno.Command("python3", {
        args: [
          "-c",
          `import sys
from filelock import FileLock
with FileLock("${lock}"):
    print("held", flush=True)
    sys.stdin.readline()`,
        ],
        stdin: "piped",
        stdout: "piped",
      }).spawn();
      const heard = holder.stdout.getReader();
      await heard.read();
      const notes: string[] = [];
      const waiting = Promise.withResolvers<void>();
      const pulled = pull({ repo: REPO, revision: "main" }, {
        settings: hubSettings(variables),
        onNote: (note) => {
          notes.push(note);
          waiting.resolve();
        },
      });
      await waiting.promise;
      await heard.cancel();
      await holder.stdin.close();
      await holder.status;
      await pulled;
      assert.deepEqual(notes, ["Another process fetches model.safetensors; waiting for it."]);
    }),
});
