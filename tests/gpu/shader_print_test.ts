/** `DEBUG=wgsl`, in processes of their own: what is printed, and that nothing is otherwise. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const FIXTURE = fileURLToPath(new URL("shader_print_fixture.ts", import.meta.url));
const CODE = `override VALUE: u32;
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1) fn main() { y[0] = VALUE; }
`;

async function printed(debug: string, permissions: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", ...permissions, FIXTURE],
    env: { NO_COLOR: "1", DEBUG: debug },
  }).output();
  const text = new TextDecoder();
  assert.equal(code, 0, text.decode(stderr));
  assert.equal(text.decode(stdout), "");
  const [, compiling] = text.decode(stderr).split("compiling\n");
  return compiling!;
}

Deno.test("DEBUG=wgsl prints each kernel with its constants once, as WGSL", async () => {
  const expected = [7, 9].map((value) => `// fill: VALUE = ${value}\n${CODE}\n`).join("");
  assert.equal(await printed("wgsl", ["-A"]), expected);
  assert.equal(await printed("hub, wgsl", ["-A"]), expected);
});

Deno.test("nothing is printed for another DEBUG, nor where the variable may not be read", async () => {
  for (const debug of ["", "1", "wgslx", "express:*"]) {
    assert.equal(await printed(debug, ["-A"]), "", debug);
  }
  const without = ["--allow-env=DENO_WEBGPU_BACKEND", "--allow-read", "--allow-sys"];
  assert.equal(await printed("wgsl", without), "");
});
