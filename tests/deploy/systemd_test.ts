/** The unit for systemd: what systemd's own checker says, and that stopping outlasts the drain. */
import assert from "node:assert/strict";
import { readSettings } from "../../routes/settings.ts";
import { EXIT, FLUSH_SECONDS } from "../../routes/serve.ts";
import { findProgram } from "./programs.ts";

const UNIT = new URL("../../deploy/systemd/clairon.service", import.meta.url);
const text = await Deno.readTextFile(UNIT);
const analyze = findProgram("systemd-analyze");

function value(name: string): string {
  const [, found] = new RegExp(`^${name}=(.*)$`, "m").exec(text) ?? [];
  assert.ok(found !== undefined, `the unit has no ${name}`);
  return found;
}

Deno.test({
  name: "systemd finds nothing wrong with the unit" +
    (analyze ? "" : " (no systemd-analyze found: apt-get install systemd)"),
  ignore: analyze === undefined,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      // The program has to exist for the checker: any will do.
      const here = text.replace(/^ExecStart=\S+/m, `ExecStart=${Deno.execPath()}`)
        .replace(/^WorkingDirectory=.*$/m, `WorkingDirectory=${folder}`);
      assert.notEqual(here, text);
      await Deno.writeTextFile(`${folder}/clairon.service`, here);
      const command = new Deno.Command(analyze!, {
        args: ["verify", "--man=no", `${folder}/clairon.service`],
      });
      const { stdout, stderr } = await command.output();
      const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      const ours = said.split("\n").filter((line) => line.includes("clairon"));
      assert.deepEqual(ours, []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("systemd waits for the drain, and starts the server again when the GPU was lost", () => {
  const drain = Number(/DRAIN_SECONDS=(\d+)/.exec(text)![1]);
  assert.equal(drain, readSettings([], {})["drain-seconds"]);
  assert.ok(Number(value("TimeoutStopSec")) > drain + FLUSH_SECONDS);
  assert.equal(value("Restart"), "on-failure");
  assert.equal(value("RestartPreventExitStatus"), `${EXIT.usage}`);
  assert.notEqual(EXIT.lost, 0);
  assert.notEqual(EXIT.lost, EXIT.usage);
});
