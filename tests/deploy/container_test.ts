/**
 * The container, without a Docker daemon: what the Dockerfile copies is enough to run its entry
 * point, its health check tells ready from loading, and compose names nothing that is not there.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { readSettings } from "../../routes/settings.ts";
import { FLUSH_SECONDS } from "../../routes/serve.ts";
import { testApp, withServer } from "../routes/helpers.ts";
import { ServerProcess } from "../routes/server_process.ts";

const ROOT = new URL("../../", import.meta.url);
const CONTAINER = new URL("deploy/container/", ROOT);

/** Instructions with their continued lines joined, without comments. */
const dockerfile = (await Deno.readTextFile(new URL("Dockerfile", CONTAINER)))
  .replace(/^\s*#.*\n/gm, "").replaceAll("\\\n", " ").split("\n").map((line) => line.trim())
  .filter((line) => line !== "").map((line) => {
    const [, name, rest] = /^([A-Z]+) +(.*)$/.exec(line)!;
    return { name: name!, rest: rest! };
  });
const all = (wanted: string) =>
  dockerfile.filter(({ name }) => name === wanted).map(({ rest }) => rest);
const one = (wanted: string) => all(wanted).at(-1)!;

const environment = Object.fromEntries(
  [...one("ENV").matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name!, value!]),
);
const entry: string[] = JSON.parse(one("ENTRYPOINT"));
const task: string = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT))).tasks.serve
  .command;
const compose = parse(await Deno.readTextFile(new URL("compose.yaml", CONTAINER)));
// deno-lint-ignore no-explicit-any
const services: Record<string, any> = compose.services;

/** What of the repository is copied, and where to. */
const copied = all("COPY").filter((words) => !words.startsWith("--from")).map((words) => {
  const parts = words.split(/ +/);
  return { sources: parts.slice(0, -1), target: parts.at(-1)! };
});

const PINNED = /^[\w./-]+:v?\d+\.\d+(\.\d+)?(-[a-z-]+)?$/;

Deno.test("container: Debian, by pinned tags; Deno in the launcher's version; not root", async () => {
  const bases = all("FROM").map((words) => words.split(" ")[0]!);
  for (const base of bases) assert.match(base, PINNED);
  // NVIDIA's driver is built against glibc.
  assert.match(bases.at(-1)!, /^debian:/);
  const launcher = await Deno.readTextFile(new URL("clairon", ROOT));
  assert.equal(one("ARG"), /^DENO_VERSION=.*$/m.exec(launcher)![0]);
  assert.match(one("USER"), /^[1-9]\d*:[1-9]\d*$/);
  assert.ok(
    dockerfile.findLastIndex(({ name }) => name === "USER") >
      dockerfile.findLastIndex(({ name }) => name === "RUN"),
  );
  assert.equal(one("VOLUME"), environment.HF_HOME);
  assert.equal(one("EXPOSE"), environment.PORT);
  assert.ok(environment.NVIDIA_DRIVER_CAPABILITIES!.split(",").includes("graphics"));
  assert.equal(readSettings([], environment).host, "0.0.0.0");
});

Deno.test("container: its permissions are those of the task, and nobody is asked for more", () => {
  const flags = (words: string[]) => words.filter((word) => word.startsWith("--allow"));
  assert.deepEqual(flags(entry), flags(task.split(" ")));
  assert.ok(entry.includes("--no-prompt") && entry.includes("--cached-only"));
  assert.deepEqual(entry.slice(-2), ["main.ts", "serve"]);
});

Deno.test("container: what is copied is enough to serve, and the ignore file lets it through", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const { sources, target } of copied) {
      for (const source of sources) {
        const into = target === "./" ? source : target;
        await copy(fileURLToPath(new URL(source, ROOT)), `${folder}/${into}`);
      }
    }
    const [program, verb, ...words] = entry;
    assert.deepEqual([program, verb], ["deno", "run"]);
    const args = words.map((word) => word === "main.ts" ? `${folder}/main.ts` : word);
    await using server = new ServerProcess([...args, "--port", "0"], { MODEL: "" }, ["run"]);
    const url = await server.url();
    await server.says(/Try it:/);
    for (const path of ["/health", "/docs", "/v1/models"]) {
      const answer = await fetch(url + path);
      assert.equal(answer.status, 200, `${path}: ${await answer.text()}`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const lines = (await Deno.readTextFile(new URL("Dockerfile.dockerignore", CONTAINER))).split(
    "\n",
  );
  const passed = lines.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
  assert.deepEqual(passed.sort(), copied.flatMap(({ sources }) => sources).sort());
});

async function copy(from: string, to: string): Promise<void> {
  if ((await Deno.stat(from)).isFile) return await Deno.copyFile(from, to);
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) await copy(`${from}/${name}`, `${to}/${name}`);
}

Deno.test("container: the health check passes when ready, and only then", async () => {
  const [, options, command] = /^(.*) CMD (\[.*\])$/.exec(one("HEALTHCHECK"))!;
  assert.match(options!, /--start-period=60m/);
  const [program, ...args]: string[] = JSON.parse(command!);
  assert.equal(program, "deno");
  const check = async (port: number) => {
    const env = { PORT: String(port), NO_COLOR: "1" };
    return (await new Deno.Command(Deno.execPath(), { args, env }).output()).code;
  };
  for (const state of ["ready", "loading", "draining"] as const) {
    await withServer(testApp({ state }).app, async (_, port) => {
      assert.equal(await check(port), state === "ready" ? 0 : 1, state);
    });
  }
  const nobody = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = nobody.addr;
  nobody.close();
  assert.notEqual(await check(port), 0);
});

Deno.test("compose: pinned images; every file, volume, configuration and service named is there", async () => {
  const volumes = new Set<string>();
  const configs = new Set<string>();
  for (const [name, service] of Object.entries(services)) {
    if (!service.build) assert.match(service.image, PINNED, name);
    for (const volume of service.volumes ?? []) {
      const source: string = volume.split(":")[0];
      if (source.startsWith(".")) assert.ok((await Deno.stat(new URL(source, CONTAINER))).isFile);
      else volumes.add(source);
    }
    for (const { source } of service.configs ?? []) configs.add(source);
    for (const other of service.depends_on ?? []) assert.ok(other in services, other);
  }
  assert.deepEqual([...volumes].sort(), Object.keys(compose.volumes).sort());
  assert.deepEqual([...configs].sort(), Object.keys(compose.configs).sort());
  const { context, dockerfile: file } = services.clairon.build;
  assert.equal(new URL(`${context}/`, CONTAINER).href, ROOT.href);
  assert.ok((await Deno.stat(new URL(file, ROOT))).isFile);
});

Deno.test("compose: the server's variables, its volume, and time for the drain", () => {
  const { environment: own, volumes, stop_grace_period, read_only, tmpfs } = services.clairon;
  const known = /--allow-env=(\S+)/.exec(task)![1]!.split(",");
  for (const name of Object.keys(own)) assert.ok(known.includes(name), name);
  assert.deepEqual(volumes, [`models:${one("VOLUME")}`]);
  assert.ok(read_only && tmpfs.includes(environment.XDG_CACHE_HOME));
  const drain = own.DRAIN_SECONDS;
  assert.equal(drain, readSettings([], {})["drain-seconds"]);
  assert.ok(Number(/^(\d+)s$/.exec(stop_grace_period)![1]) > drain + FLUSH_SECONDS);
  // What others reach is nginx alone.
  assert.equal(services.clairon.ports, undefined);
  for (const { ports } of [services.prometheus, services.grafana]) {
    assert.match(ports[0], /^127\.0\.0\.1:/);
  }
});

Deno.test("compose: nginx gets the file of the tests with one server, Prometheus the alerts' job", async () => {
  const [shell, flag, script] = services.nginx.command;
  const [, edit] = /sed '([^']+)'/.exec(script)!;
  assert.deepEqual([shell, flag], ["sh", "-c"]);
  const file = fileURLToPath(new URL("../nginx/clairon.conf", CONTAINER));
  const { stdout } = await new Deno.Command("sed", { args: [edit!, file] }).output();
  const servers = [...new TextDecoder().decode(stdout).matchAll(/^ +server ([^ ;]+)/gm)];
  assert.deepEqual(servers.map(([, name]) => name), [`clairon:${environment.PORT}`]);

  const prometheus = parse(compose.configs.prometheus.content);
  const mounted = services.prometheus.volumes[0].split(":")[1];
  assert.equal(mounted, `/etc/prometheus/${prometheus.rule_files[0]}`);
  const [job] = prometheus.scrape_configs;
  assert.equal(job.job_name, "clairon");
  assert.deepEqual(job.static_configs[0].targets, [`clairon:${environment.PORT}`]);
  const { providers: [{ options }] } = parse(compose.configs.grafana_dashboards.content);
  assert.ok(services.grafana.volumes[0].includes(`:${options.path}/`));
});
