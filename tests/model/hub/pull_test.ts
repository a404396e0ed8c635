/** A whole pull against the mock hub: what is asked, what lies in the cache afterwards. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { openCheckpoint } from "../../../model/checkpoint/checkpoint.ts";
import { findCached } from "../../../model/hub/cached.ts";
import { findModel } from "../../../model/hub/find.ts";
import { pull, type PullOptions, type PullProgress } from "../../../model/hub/pull.ts";
import { hubSettings } from "../../../model/hub/settings.ts";
import { type Branches, commitOf, gitSha1, REPO, type Seen, sha256 } from "./mock_hub.ts";
import {
  largeRepository,
  listing,
  NEEDED,
  type Place,
  repository,
  text,
  withHub,
} from "./repositories.ts";

const MAIN = { repo: REPO, revision: "main" };
const FOLDER = "models--TheBloke--Claire-7B-0.1-GPTQ";
const branches: Branches = { main: await repository() };
const large: Branches = { main: await largeRepository(70 * 2 ** 20) };

function options({ variables }: Place, more: Partial<PullOptions> = {}): PullOptions {
  return { settings: hubSettings(variables), wait: () => Promise.resolve(), ...more };
}

Deno.test("a pull brings what is needed, in the Python client's layout", () =>
  withHub({ branches }, async (place) => {
    const { hub, cache } = place;
    const progress: PullProgress[] = [];
    const onProgress = (state: PullProgress) => progress.push(state);
    const pulled = await pull(MAIN, options(place, { onProgress }));
    const commit = commitOf("main");
    const hashOf = (name: string) => {
      const { bytes, lfs } = branches.main![name]!;
      return lfs ? sha256(bytes) : gitSha1(bytes);
    };
    assert.deepEqual(
      listing(join(cache, FOLDER)),
      [
        ...NEEDED.map((name) => `blobs/${hashOf(name)}`),
        "refs/main",
        ...NEEDED.map((name) => `snapshots/${commit}/${name} -> ../../blobs/${hashOf(name)}`),
      ].sort(),
    );
    assert.equal(await Deno.readTextFile(join(cache, FOLDER, "refs/main")), commit);
    assert.equal(pulled.folder, join(cache, FOLDER, "snapshots", commit));
    for (const name of NEEDED) {
      const bytes = await Deno.readFile(join(pulled.folder, name));
      assert.deepEqual(bytes, branches.main![name]!.bytes);
    }
    (await openCheckpoint(pulled.folder)).close();

    const sizes = NEEDED.reduce((sum, name) => sum + branches.main![name]!.bytes.length, 0);
    assert.equal(pulled.fetchedBytes, sizes);
    const last = progress.at(-1)!;
    assert.equal(last.done, last.total);
    assert.ok(progress.every(({ total }) => total === last.total));
    assert.ok(progress.every(({ done }, i) => i === 0 || done >= progress[i - 1]!.done));
    assert.ok(hub.seen.every(({ file }) => !file || NEEDED.includes(file)));
  }));

Deno.test("what is here is not fetched again, not even for another branch", () =>
  withHub({ branches: { ...branches, copy: branches.main! } }, async (place) => {
    const { hub } = place;
    await pull(MAIN, options(place));
    const asked = hub.seen.length;
    assert.equal((await pull(MAIN, options(place))).fetchedBytes, 0);
    const copy = await pull({ repo: REPO, revision: "copy" }, options(place));
    assert.equal(copy.fetchedBytes, 0);
    assert.notEqual(copy.commit, commitOf("main"));
    (await openCheckpoint(copy.folder)).close();
    assert.ok(hub.seen.slice(asked).every(({ file, method }) => !file || method === "HEAD"));
  }));

Deno.test("shards come with their index, and only those that it names", async () => {
  const sharded = await repository({ bits: 8, shardBytes: 200_000 });
  const shards = Object.keys(sharded).filter((name) => /^model-.*\.safetensors$/.test(name));
  assert.ok(shards.length > 2);
  sharded["model-00099-of-00099.safetensors"] = { bytes: new Uint8Array(99), lfs: true };
  await withHub({ branches: { main: sharded } }, async (place) => {
    const { folder } = await pull(MAIN, options(place));
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    const rest = NEEDED.filter((name) => name !== "model.safetensors");
    assert.deepEqual(names, [...rest, "model.safetensors.index.json", ...shards].sort());
    (await openCheckpoint(folder)).close();
  });
});

Deno.test("other names of the weights are found as in a folder", async () => {
  const { "model.safetensors": weights, ...rest } = branches.main!;
  const name = "gptq_model-4bit-128g.safetensors";
  await withHub({ branches: { main: { ...rest, [name]: weights! } } }, async (place) => {
    const { files } = await pull(MAIN, options(place));
    assert.ok(files.some((file) => file.name === name));
  });
});

Deno.test("a model that Clairon does not run is refused before its weights are fetched", async () => {
  const config = JSON.parse(new TextDecoder().decode(branches.main!["config.json"]!.bytes));
  const llama = text(JSON.stringify({ ...config, model_type: "llama" }));
  const { "config.json": _, ...none } = branches.main!;
  const { "model.safetensors": _weights, ...weightless } = branches.main!;
  const cases: [Branches[string], RegExp][] = [
    [{ ...branches.main!, "config.json": llama }, /"model_type" should be "falcon"/],
    [none, /holds no config\.json/],
    [weightless, /weights should be in model\.safetensors .* found only pytorch_model\.bin\./],
  ];
  for (const [main, message] of cases) {
    await withHub({ branches: { main } }, async (place) => {
      await assert.rejects(pull(MAIN, options(place)), { message });
      assert.deepEqual(place.hub.downloadsOf("model.safetensors"), []);
      assert.equal(await findCached(MAIN, hubSettings(place.variables)), undefined);
    });
  }
});

Deno.test("hubs that list files page by page, and mirrors that send a plain SHA-1", async () => {
  await withHub({ branches, pageFiles: 2 }, async (place) => {
    const { files } = await pull(MAIN, options(place));
    assert.deepEqual(files.map(({ name }) => name).sort(), NEEDED);
    assert.equal(place.hub.seen.filter(({ path }) => path.includes("/tree/")).length, 5);
  });
  const headers = ({ file, host }: Seen, headers: Headers) => {
    const { bytes, lfs } = branches.main![file!]!;
    const sha1 = createHash("sha1").update(bytes).digest("hex");
    if (host === "hub" && !lfs) headers.set("etag", `"${sha1}"`);
  };
  await withHub({ branches, headers }, async (place) => {
    (await openCheckpoint((await pull(MAIN, options(place))).folder)).close();
  });
});

Deno.test("a large file comes over several connections at the same time", () =>
  withHub({ branches: large }, async (place) => {
    // Requests under way: a range's first piece was sent, its last one was not.
    const left = new Map<Seen, number>();
    let most = 0;
    const onPiece = (seen: Seen) => {
      const [, start, end] = /(\d+)-(\d+)/.exec(seen.range ?? "") ?? [];
      if (seen.file !== "model.safetensors" || end === undefined) return;
      const pieces = left.get(seen) ?? Math.ceil((Number(end) + 1 - Number(start)) / 16384);
      if (pieces === 1) left.delete(seen);
      else left.set(seen, pieces - 1);
      most = Math.max(most, left.size);
    };
    place.hub.onPiece = onPiece;
    await pull(MAIN, options(place));
    assert.ok(most > 1 && most <= 8, `${most}`);
    await Deno.remove(place.cache, { recursive: true });
    most = 0;
    await pull(MAIN, options(place, { connections: 1 }));
    assert.ok(most <= 1, `${most}`);
    const [first] = place.hub.downloadsOf("model.safetensors");
    assert.equal(first!.host, "hub");
  }));

Deno.test("a disk without room is noticed before anything large is fetched", () =>
  withHub({ branches: large }, async (place) => {
    const freeBytes = () => Promise.resolve(50e6);
    await assert.rejects(pull(MAIN, options(place, { freeBytes })), {
      name: "HubError",
      message:
        /^73\.\d+ MB are still to come, but the disk of .* has room for 50\.00 MB: .*HF_HUB_CACHE\.$/,
    });
    assert.deepEqual(place.hub.downloadsOf("model.safetensors"), []);
  }));

Deno.test("--model finds a folder first, then the cache, then the hub", () =>
  withHub({ branches }, async (place) => {
    const { hub, variables } = place;
    const settings = () => options(place);
    const name = `${REPO}:main`;
    const fetched = await findModel(name, settings);
    assert.deepEqual(
      { name: fetched.name, revision: fetched.revision, commit: fetched.commit },
      { name: REPO, revision: "main", commit: commitOf("main") },
    );
    const asked = hub.seen.length;
    assert.deepEqual(await findModel(name, settings), fetched);
    const offline = () => ({ settings: { ...hubSettings(variables), offline: true } });
    assert.deepEqual(await findModel(name, offline), fetched);
    assert.equal(hub.seen.length, asked);

    const folder = await findModel(fetched.folder, () => assert.fail("a folder needs no hub"));
    assert.deepEqual(folder, { folder: fetched.folder, name: commitOf("main") });
    await assert.rejects(findModel(`${REPO}:other`, offline), /is not in .*HF_HUB_OFFLINE is set/);
    await assert.rejects(
      findModel(`${REPO}:gptq-4bit-32g-actorder_Tru`, settings),
      /^HubError: There is no folder .* has no branch, tag or commit .*Did you mean gptq-4bit-32g-actorder_True\?$/,
    );
    const again = await pull(MAIN, offline());
    assert.deepEqual([again.folder, again.fetchedBytes], [fetched.folder, 0]);
    assert.deepEqual(again.files.map(({ name }) => name).sort(), NEEDED);
    const other = { repo: REPO, revision: "other" };
    await assert.rejects(pull(other, offline()), /is not in .*HF_HUB_OFFLINE is set/);
    const localDir = join(place.home, "plain");
    await assert.rejects(pull(MAIN, { ...offline(), localDir }), /HF_HUB_OFFLINE is set/);
  }));

Deno.test("what another program left half is no model, and is completed", () =>
  withHub({ branches }, async (place) => {
    const { folder } = await pull(MAIN, options(place));
    const settings = hubSettings(place.variables);
    await Deno.remove(join(folder, "model.safetensors"));
    assert.equal(await findCached(MAIN, settings), undefined);
    assert.equal((await findModel(`${REPO}:main`, () => options(place))).folder, folder);
    const blob = await Deno.realPath(join(folder, "model.safetensors"));
    await Deno.truncate(blob, 1000);
    const again = await pull(MAIN, options(place));
    assert.equal(again.fetchedBytes, branches.main!["model.safetensors"]!.bytes.length);
    assert.deepEqual(await Deno.readFile(blob), branches.main!["model.safetensors"]!.bytes);
  }));

Deno.test("two branches lie beside each other, each with its ref", async () =>
  await withHub(
    { branches: { main: branches.main!, next: await repository({ seed: 2 }) } },
    async (place) => {
      await pull(MAIN, options(place));
      const { cache } = place;
      await pull({ repo: REPO, revision: "next" }, options(place));
      assert.equal(await Deno.readTextFile(join(cache, FOLDER, "refs/next")), commitOf("next"));
      assert.equal(await Deno.readTextFile(join(cache, FOLDER, "refs/main")), commitOf("main"));
    },
  ));

Deno.test("a plain folder holds the files themselves, and links in it are replaced", () =>
  withHub({ branches }, async (place) => {
    const localDir = join(place.home, "plain");
    const victim = join(place.home, "victim");
    await Deno.mkdir(localDir);
    await Deno.writeTextFile(victim, "untouched");
    await Deno.symlink(victim, join(localDir, "config.json"));
    const { folder } = await pull(MAIN, options(place, { localDir }));
    assert.equal(folder, localDir);
    assert.deepEqual(listing(localDir).filter((path) => !path.startsWith(".cache/")), NEEDED);
    assert.equal(await Deno.readTextFile(victim), "untouched");
    assert.equal((await pull(MAIN, options(place, { localDir }))).fetchedBytes, 0);

    await Deno.writeTextFile(join(localDir, "tokenizer.json"), "{}");
    const { length } = branches.main!["tokenizer.json"]!.bytes;
    assert.equal((await pull(MAIN, options(place, { localDir }))).fetchedBytes, length);
    // Files that were copied there without notes are known by their content.
    await Deno.remove(join(localDir, ".cache"), { recursive: true });
    assert.equal((await pull(MAIN, options(place, { localDir }))).fetchedBytes, 0);
  }));
