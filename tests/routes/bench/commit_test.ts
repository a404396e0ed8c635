/** Commits out of folders written as gitrepository-layout(5) describes them. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { commitOf } from "../../../routes/bench/commit.ts";

const A = "a".repeat(40);
const B = "b".repeat(40);

async function found(files: Record<string, string>, root = "."): Promise<string | undefined> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.mkdir(dirname(join(folder, name)), { recursive: true });
      await Deno.writeTextFile(join(folder, name), text);
    }
    return await commitOf(join(folder, root));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("commit: of a branch, loose or packed, or of no branch", async () => {
  const head = { ".git/HEAD": "ref: refs/heads/a/b\n" };
  assert.equal(await found({ ...head, ".git/refs/heads/a/b": `${A}\n` }), A);
  const packed = `# pack-refs with: peeled\n${A} refs/heads/a\n${B} refs/heads/a/b\n`;
  assert.equal(await found({ ...head, ".git/packed-refs": packed }), B);
  assert.equal(await found({ ".git/HEAD": `${B}\n` }), B);
});

Deno.test("commit: of a linked worktree", async () => {
  const files = {
    "tree/.git": "gitdir: ../main/.git/worktrees/tree\n",
    "main/.git/worktrees/tree/HEAD": "ref: refs/heads/x\n",
    "main/.git/worktrees/tree/commondir": "../..\n",
    "main/.git/refs/heads/x": `${A}\n`,
    "main/.git/HEAD": `${B}\n`,
  };
  assert.equal(await found(files, "tree"), A);
});

Deno.test("commit: none where there is no checkout, or no commit yet", async () => {
  assert.equal(await found({ "README.md": "" }), undefined);
  assert.equal(await found({ ".git/HEAD": "ref: refs/heads/main\n" }), undefined);
});
