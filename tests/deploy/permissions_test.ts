/**
 * What a server may do: the permissions of `deno task serve`, fewer where the model's folder is
 * known, and that each of them is needed.
 *
 * Knows the tables of `deploy/README.md`, which name variables and permissions. Real processes, which
 * can ask nobody for more.
 */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { HUB_VARIABLES } from "../../model/hub/settings.ts";
import { settingsHelp } from "../../routes/settings.ts";
import { REPO } from "../model/hub/mock_hub.ts";
import { repository, withHub } from "../model/hub/repositories.ts";
import { jsonPost } from "../routes/helpers.ts";
import { ServerProcess } from "../routes/server_process.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MAIN = `${ROOT}main.ts`;
const TASK: string = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`)).tasks.serve.command;
const FLAGS = TASK.split(" ").filter((word) => word.startsWith("-"));
const ENVIRONMENT = FLAGS.find((flag) => flag.startsWith("--allow-env="))!;
const README = Deno.readTextFileSync(`${ROOT}deploy/README.md`);

/** What a server with its model in a folder can do with; its worker reads the program, too. */
const SEALED = ["--allow-net=127.0.0.1", `--allow-read=${ROOT}`, ENVIRONMENT];

/** `deno run` with these permissions and nobody to ask for others. */
function serve(permissions: string[], env: Record<string, string> = {}, args: string[] = []) {
  return new ServerProcess(
    [...permissions, MAIN, "serve", "--port", "0", ...args],
    { MODEL: "", ...env },
    ["run", "--no-prompt"],
  );
}

/** It starts, answers, and was refused nothing. */
async function works(server: ServerProcess): Promise<void> {
  const url = await server.url();
  await server.says(/Try it:/);
  const request = { inputs: "- Bonjour !\n-", parameters: { max_new_tokens: 2 } };
  const answer = await fetch(`${url}/generate`, jsonPost(request));
  assert.equal(answer.status, 200, await answer.text());
  for (const path of ["/docs", "/openapi.json", "/info", "/v1/models"]) {
    const response = await fetch(url + path);
    assert.equal(response.status, 200, `${path}: ${await response.text()}`);
  }
  const page = await fetch(url, { headers: { accept: "text/html" } });
  assert.match(await page.text(), /<html/);
  assert.doesNotMatch(server.stderr, /requires .* access|not allowed/i);
}

Deno.test("the task names its permissions, and every variable that the server reads", () => {
  assert.deepEqual(FLAGS.map((flag) => flag.split("=")[0]), [
    "--allow-net",
    "--allow-read",
    "--allow-write",
    "--allow-run",
    "--allow-env",
  ]);
  const settings = [...settingsHelp().matchAll(/^ {2}--\S+ \S+ +([A-Z_]+) /gm)].map(([, name]) =>
    name!
  );
  assert.ok(settings.includes("DRAIN_SECONDS") && settings.includes("MODEL"));
  const named = ENVIRONMENT.slice("--allow-env=".length).split(",");
  for (const name of [...settings, ...Object.keys(HUB_VARIABLES), "DENO_WEBGPU_BACKEND", "HOME"]) {
    assert.ok(named.includes(name), `deno.json: the task serve has to name ${name} in --allow-env`);
  }
  assert.equal(new Set(named).size, named.length);
});

Deno.test("the table of variables has every one that the task names, and no other", () => {
  const table = /## Variables\n[^]*?\n(\|[^]*?)\n\n/.exec(README)![1]!;
  const rows = table.split("\n").slice(2).flatMap((row) =>
    [...row.split("|")[1]!.matchAll(/`([A-Z_]+)`/g)].map(([, name]) => name!)
  );
  assert.deepEqual(rows.sort(), ENVIRONMENT.slice("--allow-env=".length).split(",").sort());
});

Deno.test("a server starts and answers with the task's permissions alone", async () => {
  await using server = serve(FLAGS);
  await works(server);
});

Deno.test("without the folder of a hub, it writes nothing and reads its own folder alone", async () => {
  await using server = serve(SEALED);
  await works(server);
});

Deno.test("to fetch a model, the cache is all else that it reads, and all that it writes", async () =>
  await withHub({ branches: { main: await repository() } }, async ({ home, variables }) => {
    const permissions = [
      "--allow-net",
      `--allow-read=${ROOT},${home}`,
      `--allow-write=${home}`,
      ENVIRONMENT,
    ];
    await using server = serve(permissions, variables, ["--model", REPO]);
    await works(server);
  }));

for (
  const [missing, sentence] of [
    ["--allow-net", /^Deno was not allowed to listen on 127\.0\.0\.1, port 0: see --allow-net\.$/m],
    ["--allow-read", /requires read access/i],
    ["--allow-env", /requires env access to "DENO_WEBGPU_BACKEND"/i],
  ] as const
) {
  Deno.test(`it does not start without ${missing}, and says so`, async () => {
    await using server = serve(SEALED.filter((flag) => !flag.startsWith(missing)));
    assert.equal(await server.exit(), 1);
    assert.match(server.stderr, sentence);
  });
}

Deno.test("the launcher runs the task with the same permissions, as one process", async () => {
  const path = `${dirname(Deno.execPath())}:${Deno.env.get("PATH")}`;
  await using server = new ServerProcess(
    ["serve", "--port", "0"],
    { MODEL: "", PATH: path },
    [],
    `${ROOT}clairon`,
  );
  await server.says(/Try it:/);
  if (Deno.build.os !== "linux") return;
  const words = (await Deno.readTextFile(`/proc/${server.pid}/cmdline`)).split("\0");
  assert.deepEqual(words.slice(2, 2 + FLAGS.length), FLAGS);
  assert.ok(!words.includes("-A"));
});

Deno.test("deno serve answers with the same permissions, and ends once its answers have", async () => {
  const first = ["serve", "--no-prompt", "--host", "127.0.0.1", "--port", "0"];
  await using server = new ServerProcess([...FLAGS, MAIN], { MODEL: "" }, first);
  const url = await server.url();
  await server.says(/Clairon serves/);
  assert.equal((await fetch(`${url}/health`)).status, 200);
  const answer = fetch(`${url}/generate`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ inputs: "- Bonjour !\n-", parameters: { max_new_tokens: 20 } }),
  });
  while (!/^tgi_batch_current_size\S* 1$/m.test(await metrics(url)));
  server.signal("SIGTERM");
  await server.says(/SIGTERM: no new requests/);
  assert.equal((await answer).status, 200);
  await server.says(/running answers may end/);
  assert.equal(await server.exit(), 0);
});

async function metrics(url: string): Promise<string> {
  return await (await fetch(`${url}/metrics`)).text();
}
