/** The doctor on this machine: with its driver, and with none. Needs a GPU adapter. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { help, run } from "../../../model/cli/doctor.ts";
import type { Check } from "../../../model/doctor/checks.ts";
import { withGpu } from "../../helpers.ts";
import { captured } from "./captured.ts";

const MAIN = fileURLToPath(new URL("../../../main.ts", import.meta.url));

async function doctor(args: string[], env: Record<string, string> = {}) {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, "doctor", ...args],
    env: { NO_COLOR: "1", DOCTOR_JSON: "", HOST: "", PORT: "", ...env },
  });
  const { code, stdout } = await command.output();
  return { code, stdout: new TextDecoder().decode(stdout) };
}

Deno.test("with a driver it names the adapter that is used, and nothing of it is wrong", () =>
  withGpu(async (gpu) => {
    const cache = await Deno.makeTempDir();
    const env = { HF_HUB_CACHE: cache };
    const { code, stdout } = await doctor(["--port", "0"], env);
    const { stdout: json } = await doctor(["--json", "--port", "0"], env);
    assert.deepEqual([...Deno.readDirSync(cache)], []);
    await Deno.remove(cache);
    const { ok, checks } = JSON.parse(json) as { ok: boolean; checks: Check[] };
    const of = (name: string) => checks.filter((check) => check.name === name);
    assert.equal(of("adapter")[0]!.text.startsWith(gpu.adapter), true);
    assert.equal(of("adapter")[0]!.status, gpu.software ? "note" : "ok");
    for (const name of ["Deno", "driver", "limits", "memory", "disk", "cache", "port"]) {
      assert.ok(of(name).length > 0, name);
      assert.ok(of(name).every(({ status }) => status !== "problem"), name);
    }
    assert.equal(code, ok ? 0 : 1);
    assert.match(stdout, ok ? /\n\nNothing is wrong\.\n$/ : /problem/);
  }));

Deno.test({
  name: "without any driver it says so, with the cure, and ends with 1",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const root = await Deno.makeTempDir();
    try {
      const { code, stdout } = await doctor([], { VK_DRIVER_FILES: `${root}/none.json` });
      assert.equal(code, 1);
      assert.match(stdout, /^PROBLEM +driver +\S+none\.json is missing, or registers no driver/m);
      assert.match(
        stdout,
        /^ +→ unset VK_DRIVER_FILES, or correct it; if no driver is installed: ./m,
      );
      assert.doesNotMatch(stdout, /^\S+ +(adapter|limits)/m);

      // A system without a driver's file: what the machine has is hidden by a variable.
      const bare = { CLAIRON_SYSROOT: root, XDG_DATA_HOME: root, XDG_CONFIG_HOME: root };
      await Deno.mkdir(`${root}/usr/bin`, { recursive: true });
      await Deno.writeTextFile(`${root}/usr/bin/apt-get`, "");
      const hidden = { ...bare, VK_LOADER_DRIVERS_DISABLE: "*" };
      const none = await doctor([], hidden);
      assert.equal(none.code, 1);
      assert.match(none.stdout, /no Vulkan driver is registered/);
      assert.match(
        none.stdout,
        /^ +→ (sudo )?apt-get update && .*libvulkan1 mesa-vulkan-drivers$/m,
      );
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  },
});

Deno.test("a port that is taken is a problem; a cache that cannot be written too", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = `${taken.addr.port}`;
  const { code, stdout } = await doctor([], { PORT: port, HF_HUB_CACHE: "/proc/none/hub" });
  assert.equal(code, 1);
  assert.match(
    stdout,
    new RegExp(`^PROBLEM +port +${port} on 127\\.0\\.0\\.1: another program has it$`, "m"),
  );
  assert.match(stdout, /^ +→ choose another one: --port \d+$/m);
  assert.match(stdout, /^PROBLEM +cache +\/proc cannot be written/m);
  assert.match(stdout, /^2 problems; the arrows say what to do\.$/m);
});

Deno.test("wrong arguments get one sentence and exit code 2; help", async () => {
  const mistakes: [string[], RegExp][] = [
    [["stray"], /^Expected flags alone, found "stray"/],
    [["--prot", "1"], /^There is no flag --prot\. Did you mean --port\?/],
    [["--port", "70000"], /^--port must be a whole number from 0 to 65535/],
  ];
  for (const [args, sentence] of mistakes) {
    const { code, stdout, stderr } = await captured(() => run(args));
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, sentence);
  }
  const { code, stdout } = await captured(() => run(["--help"]));
  assert.deepEqual([code, stdout], [0, `${help}\n`]);
});
