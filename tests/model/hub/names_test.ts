/** Names and hashes from outside never become a path that leaves its folder. */
import assert from "node:assert/strict";
import { join, relative, resolve } from "node:path";
import fc from "fast-check";
import { HubError } from "../../../model/hub/error.ts";
import {
  checkFileName,
  hashFromEtag,
  isRepo,
  isRevision,
  looksLikeSource,
  parseSource,
} from "../../../model/hub/names.ts";
import { cachedCommit, CacheStore } from "../../../model/hub/store.ts";

const REPO = "TheBloke/Claire-7B-0.1-GPTQ";
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const SHA256 = COMMIT + "0123456789abcdef01234567";

Deno.test("a source is a name, a revision, both or neither", () => {
  const branch = "gptq-4bit-32g-actorder_True";
  const cases: [string, string | undefined, string, string][] = [
    ["", undefined, REPO, "main"],
    ["me/model", undefined, "me/model", "main"],
    [`me/model:${branch}`, undefined, "me/model", branch],
    [`:${branch}`, undefined, REPO, branch],
    ["", branch, REPO, branch],
    ["me/model", "refs/pr/1", "me/model", "refs/pr/1"],
    [`me/model:${branch}`, branch, "me/model", branch],
    [`:${COMMIT}`, undefined, REPO, COMMIT],
  ];
  for (const [text, flag, repo, revision] of cases) {
    assert.deepEqual(parseSource(text, flag), { repo, revision });
  }
  for (
    const text of ["a/b/c", "../x", "me/..", "me/a--b", "me/x.git", "/abs", "me/-x", "a b/c", "é/x"]
  ) {
    assert.throws(() => parseSource(text), HubError, text);
  }
  for (
    const text of ["me/m:", "me/m:..", "me/m:a..b", "me/m:/a", "me/m:a/", "me/m:a//b", "me/m:.a"]
  ) {
    assert.throws(() => parseSource(text), HubError, text);
  }
  for (const text of ["me/m:a.lock", "me/m:a/.", "me/m:a:b", "me/m:a b", "me/m:a\\b", "me/m:a\0"]) {
    assert.throws(() => parseSource(text), HubError, text);
  }
  assert.throws(() => parseSource("me/model:a", "b"), /given twice: "a" and "b"/);
});

Deno.test("a folder's name is no name on the hub", () => {
  for (const text of ["me/model", "me/model:main", REPO]) assert.ok(looksLikeSource(text), text);
  for (
    const text of ["model", "./me/model", "/me/model", "me/model/", "../model", "a/b/c", "~/x"]
  ) {
    assert.ok(!looksLikeSource(text), text);
  }
});

/** Text as an attacker would choose it, beside any text at all. */
const hostile = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(
    fc.constantFrom(
      "..",
      ".",
      "/",
      "\\",
      "\0",
      "a",
      "C:",
      "//",
      "~",
      "%2e",
      "\n",
      "-",
      "refs",
      ":",
    ),
    { maxLength: 8 },
  ).map((parts) => parts.join("")),
);

function isInside(folder: string, path: string): boolean {
  const way = relative(resolve(folder), resolve(path));
  return way !== "" && way.split("/")[0] !== ".." && !way.startsWith("/") && !path.includes("\0");
}

Deno.test("whatever name passes stays in its folder", () => {
  const file = { hash: SHA256, bytes: 1, commit: COMMIT };
  fc.assert(
    fc.property(hostile, (text) => {
      if (isRepo(text)) {
        const store = new CacheStore("/c", { repo: text, revision: "main" }, COMMIT);
        assert.ok(isInside("/c", store.folder));
        assert.ok(isInside("/c/.locks", store.lockPath({ ...file, name: "x" })));
        assert.ok(!relative("/c", store.folder).split("/")[0]!.includes(".."));
      }
      if (isRevision(text)) assert.ok(isInside("/c/refs", join("/c/refs", text)));
      try {
        assert.ok(isInside("/c", join("/c", checkFileName(text))));
        assert.ok(!/[/\\\0]/.test(text));
      } catch (error) {
        assert.ok(error instanceof HubError);
      }
      try {
        assert.match(hashFromEtag(text, "x"), /^([0-9a-f]{40}|[0-9a-f]{64})$/);
      } catch (error) {
        assert.ok(error instanceof HubError);
      }
    }),
    { numRuns: 3000 },
  );
});

Deno.test("names that are in use pass", () => {
  for (const repo of [REPO, "gpt2", "OpenLLM-France/Claire-7B-0.1", "a_b/c.d"]) {
    assert.ok(isRepo(repo));
  }
  const revisions = ["main", "v1.0", "refs/pr/12", "gptq-8bit--1g-actorder_True", COMMIT, "a@b"];
  for (const revision of revisions) assert.ok(isRevision(revision), revision);
  for (const name of ["config.json", "model-00001-of-00002.safetensors", "..x"]) {
    assert.equal(checkFileName(name), name);
  }
});

Deno.test("an ETag gives a hash in every form that HTTP allows", () => {
  for (const etag of [COMMIT, `"${COMMIT}"`, `W/"${COMMIT}"`]) {
    assert.equal(hashFromEtag(etag, "x"), COMMIT);
  }
  assert.equal(hashFromEtag(`"${SHA256}"`, "x"), SHA256);
  const wrong = [null, "", '""', COMMIT.toUpperCase(), `${COMMIT}0`, `"../../${COMMIT}"`, "abc-3"];
  for (const etag of wrong) assert.throws(() => hashFromEtag(etag, "x"), HubError);
});

Deno.test("a ref that holds no commit is none", async () => {
  const cache = await Deno.makeTempDir();
  try {
    const refs = join(cache, "models--me--m", "refs");
    await Deno.mkdir(join(refs, "refs", "pr"), { recursive: true });
    await Deno.writeTextFile(join(refs, "main"), `${COMMIT}\n`);
    await Deno.writeTextFile(join(refs, "refs", "pr", "1"), COMMIT);
    await Deno.writeTextFile(join(refs, "bad"), "../../../etc");
    await Deno.mkdir(join(refs, "folder"));
    const commit = (revision: string) => cachedCommit(cache, { repo: "me/m", revision });
    assert.equal(await commit("main"), COMMIT);
    assert.equal(await commit("refs/pr/1"), COMMIT);
    assert.equal(await commit(COMMIT), COMMIT);
    for (const none of ["bad", "folder", "missing", "../main"]) {
      assert.equal(await commit(none), undefined, none);
    }
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});
