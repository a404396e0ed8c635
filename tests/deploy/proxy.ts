/**
 * The real nginx and HAProxy, as Debian has them, with the very files of `deploy/`.
 *
 * Knows how each is started, reloaded and stopped, and which lines of its file a test may replace:
 * addresses, times, and what only root can do. Where a binary is absent the tests are ignored, with
 * a name that says so. Knows nothing of what stands behind.
 */
import assert from "node:assert/strict";
import { findProgram } from "./programs.ts";

export const PROXIES = ["nginx", "haproxy"] as const;
export type ProxyName = (typeof PROXIES)[number];

/** What a test tells a proxy. */
export interface Behind {
  /** Addresses such as "127.0.0.1:4711". */
  servers: string[];
  /** Seconds of silence after which an answer is given up; default: as in the file. */
  silence?: number;
}

const FILES: Record<ProxyName, string> = {
  nginx: "deploy/nginx/clairon.conf",
  haproxy: "deploy/haproxy/haproxy.cfg",
};
const ROOT = new URL("../../", import.meta.url);

/** A test for each of the two, or of those named. */
export function proxyTest(
  name: string,
  body: (start: StartProxy) => Promise<void>,
  proxies: readonly ProxyName[] = PROXIES,
): void {
  for (const proxy of proxies) {
    const binary = findProgram(proxy);
    Deno.test({
      name: binary
        ? `${proxy}: ${name}`
        : `${proxy}: ${name} (no ${proxy} found: apt-get install ${
          proxy === "nginx" ? "nginx-light" : proxy
        })`,
      ignore: binary === undefined,
      fn: () => body((behind) => Proxy.start(proxy, binary!, behind)),
    });
  }
}

export type StartProxy = (behind: Behind) => Promise<Proxy>;

export class Proxy implements AsyncDisposable {
  readonly url: string;
  readonly #process: Deno.ChildProcess;
  readonly #said: Promise<string>;

  private constructor(
    readonly name: ProxyName,
    readonly folder: string,
    readonly port: number,
    command: Deno.Command,
  ) {
    this.url = `http://127.0.0.1:${port}`;
    this.#process = command.spawn();
    this.#said = new Response(this.#process.stderr).text();
  }

  static async start(name: ProxyName, binary: string, behind: Behind): Promise<Proxy> {
    const folder = await Deno.makeTempDir();
    const port = freePort();
    await write(name, folder, port, behind);
    const args = name === "nginx"
      ? ["-p", folder, "-c", `${folder}/nginx.conf`, "-e", "stderr", "-g", "daemon off;"]
      : ["-W", "-db", "-f", `${folder}/clairon`];
    const command = new Deno.Command(binary, { args, stdout: "null", stderr: "piped" });
    const proxy = new Proxy(name, folder, port, command);
    await proxy.#listening();
    return proxy;
  }

  /** Makes it take over another configuration, while requests run. */
  async reload(behind: Behind): Promise<void> {
    await write(this.name, this.folder, this.port, behind);
    this.#process.kill(this.name === "nginx" ? "SIGHUP" : "SIGUSR2");
  }

  async #listening(): Promise<void> {
    for (;;) {
      try {
        (await Deno.connect({ hostname: "127.0.0.1", port: this.port })).close();
        return;
      } catch {
        const ended = await Promise.race([
          this.#process.status,
          new Promise<void>((resolve) => setTimeout(resolve, 20)),
        ]);
        if (ended) assert.fail(`${this.name} ended at once: ${await this.#said}`);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Both end at once at this signal, with their workers.
    this.#process.kill("SIGTERM");
    await this.#process.status;
    await this.#said;
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function write(name: ProxyName, folder: string, port: number, behind: Behind) {
  let text = await Deno.readTextFile(new URL(FILES[name], ROOT));
  const replace = (pattern: RegExp, by: string) => {
    assert.match(text, pattern, `${FILES[name]} has no line like ${pattern}`);
    text = text.replace(pattern, by);
  };
  const { servers, silence } = behind;
  if (name === "nginx") {
    replace(/listen 80;/, `listen 127.0.0.1:${port};`);
    const rest = /server 127[^;]*?( max_fails[^;]*);/.exec(text)![1];
    replace(/( *server 127.*\n)+/, servers.map((at) => `server ${at}${rest};\n`).join(""));
    if (silence) replace(/proxy_read_timeout \w+;/, `proxy_read_timeout ${silence}s;`);
    await Deno.writeTextFile(`${folder}/nginx.conf`, mainFile(folder));
  } else {
    replace(/bind :80/, `bind 127.0.0.1:${port}`);
    replace(
      /( *server s\d .*\n)+/,
      servers.map((at) => `server ${at} ${at} cookie ${at}\n`).join(""),
    );
    if (silence) replace(/timeout server +\w+/, `timeout server ${silence}s`);
    replace(/ *log \/dev\/log.*\n/, "");
    replace(/ *user .*\n *group .*\n/, "");
  }
  await Deno.writeTextFile(`${folder}/clairon`, text);
}

/** What Debian's own nginx.conf holds around conf.d/, as far as it is needed, in a folder of ours. */
function mainFile(folder: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`).join("\n");
  return `${Deno.uid() === 0 ? "user root;" : ""}
worker_processes 2;
pid ${folder}/nginx.pid;
events {}
http {
access_log off;
gzip on;
gzip_types text/event-stream application/json;
${temporary}
include ${folder}/clairon;
}
`;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
