/**
 * A new machine for the launcher's tests, made of stubs: its PATH holds small scripts that record
 * their calls, and its system folders are empty ones. Installs nothing and asks no network.
 *
 * Knows how `./clairon` is started and what it may call; does not know what it should decide.
 */

/** The tools the launcher may use beside a POSIX shell; nothing else is on the stub machine. */
const TOOLS = ["awk", "cp", "dirname", "grep", "mkdir", "mktemp", "mv", "readlink", "rm"];
const TASKS = {
  serve: { description: "Serve it", command: "deno run -A main.ts serve" },
  tokenize: "deno run -A main.ts tokenize",
  pull: "deno run -A main.ts pull",
  doctor: "deno run -A main.ts doctor",
  test: { command: "deno test -A" },
  all: { dependencies: ["test"], command: "deno run -A main.ts serve" },
  ok: { description: 'The "gate"', command: "deno task test && deno task serve" },
};
/** Shell lines that record a stub's call, and a stub of Deno that also tells how it was started. */
export const RECORD =
  'printf "%s" "${0##*/}" >> "$CALLS"; printf " <%s>" "$@" >> "$CALLS"; echo >> "$CALLS"';
export const DENO = `if [ "$1" = eval ]; then echo "$VERSION $0"; exit; fi
if [ "$1" = --version ]; then exit; fi
${RECORD}
echo "$PWD|$DENO_DIR|$XDG_RUNTIME_DIR|$$"`;

export interface Answer {
  code: number;
  /** The launcher's process id. */
  pid: number;
  /** Standard output. */
  out: string;
  /** What the stub of Deno printed: its folder, DENO_DIR, XDG_RUNTIME_DIR and process id. */
  started: string[];
  /** Standard error, a line an entry. */
  said: string[];
  /** The recorded calls since the machine was made. */
  calls: string[];
}

/** A Linux machine with npm and a Vulkan driver, seen by root, without Deno. */
export class Machine {
  readonly home: string;
  readonly checkout: string;
  readonly #bin: string;
  readonly #env: Record<string, string>;

  constructor(readonly root: string) {
    this.home = `${root}/home`;
    this.checkout = `${root}/check out`;
    this.#bin = `${root}/bin`;
    for (const folder of [this.home, this.checkout, this.#bin]) Deno.mkdirSync(folder);
    Deno.copyFileSync(new URL("../clairon", import.meta.url), `${this.checkout}/clairon`);
    Deno.writeTextFileSync(`${this.checkout}/deno.json`, JSON.stringify({ tasks: TASKS }, null, 2));
    for (const tool of TOOLS) Deno.symlinkSync(findTool(tool), `${this.#bin}/${tool}`);
    this.stub("fake-deno", DENO);
    this.stub(
      "npm",
      `${RECORD}
      to="$3/node_modules/@deno/linux-x64-glibc"
      mkdir -p "$to" && cp "${this.#bin}/fake-deno" "$to/deno"`,
    );
    this.stub(
      "apt-get",
      `${RECORD}
      if [ "$1" = install ]; then
        mkdir -p "${this.file("usr/share/vulkan/icd.d")}" "${this.file("usr/lib/x-linux-gnu")}"
        : > "${this.file("usr/share/vulkan/icd.d/lvp_icd.json")}"
        : > "${this.file("usr/lib/x-linux-gnu/libvulkan.so.1")}"
      fi`,
    );
    this.stub("id", "echo 0");
    this.stub("uname", "echo Linux");
    this.stub("ldconfig", "echo '	libvulkan.so.1 (libc6,x86-64) => /lib/libvulkan.so.1'");
    this.place("usr/share/vulkan/icd.d/lvp_icd.json");
    this.#env = {
      PATH: this.#bin,
      HOME: this.home,
      CALLS: `${root}/calls`,
      CLAIRON_SYSROOT: `${root}/system`,
      VERSION: "2.9.6",
    };
  }

  file(path: string): string {
    return `${this.root}/system/${path}`;
  }

  /** Puts an empty file into the system folders. */
  place(path: string): void {
    Deno.mkdirSync(this.file(path).replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.writeTextFileSync(this.file(path), "");
  }

  stub(name: string, body: string): void {
    Deno.writeTextFileSync(`${this.#bin}/${name}`, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  }

  remove(...names: string[]): void {
    for (const name of names) Deno.removeSync(`${this.#bin}/${name}`);
  }

  /** Takes the driver and the loader away. */
  withoutVulkan(): void {
    this.stub("ldconfig", "");
    Deno.removeSync(this.file("usr"), { recursive: true });
  }

  /** Runs the launcher, by the path `as` when it is not called by its own. */
  async run(
    args: string[],
    env: Record<string, string> = {},
    cwd = this.home,
    as = `${this.checkout}/clairon`,
  ): Promise<Answer> {
    const child = new Deno.Command(as, {
      args,
      cwd,
      clearEnv: true,
      env: { ...this.#env, ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const { code, stdout, stderr } = await child.output();
    const out = new TextDecoder().decode(stdout);
    return {
      code,
      pid: child.pid,
      out,
      started: out.trim().split("|"),
      said: lines(new TextDecoder().decode(stderr)),
      calls: lines(await Deno.readTextFile(this.#env.CALLS!).catch(() => "")),
    };
  }
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

function findTool(name: string): string {
  for (const folder of (Deno.env.get("PATH") ?? "").split(":")) {
    try {
      return Deno.realPathSync(`${folder}/${name}`);
    } catch {
      continue;
    }
  }
  throw new Error(`The launcher needs ${name}, which is not on the PATH`);
}

/** A test on a machine of its own, whose folders have a space in their names. */
export function onMachine(name: string, test: (machine: Machine) => Promise<void>): void {
  Deno.test(`clairon ${name}`, async () => {
    const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "new machine " }));
    try {
      await test(new Machine(root));
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  });
}
