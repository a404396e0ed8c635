/**
 * What `./clairon` decides on a new machine: what it installs, what it runs, what it says.
 *
 * Knows the launcher's text and the stub machine of `bare_machine.ts`; no task really runs.
 */
import assert from "node:assert/strict";
import { DENO, onMachine, RECORD } from "./bare_machine.ts";

const APT = "apt-get install -y --no-install-recommends";

onMachine("installs the pinned Deno with npm once, then is silent", async (machine) => {
  const first = await machine.run(["serve", "--port", "80"]);
  const own = `${machine.home}/.cache/clairon/deno-2.9.6`;
  assert.equal(first.code, 0);
  assert.deepEqual(first.said, [`clairon: installing Deno 2.9.6 into ${own}`]);
  assert.match(
    first.calls[0]!,
    /^npm <install> <--prefix> <.*\/deno-2\.9\.6\/install\.\w+> <--ignore-scripts> .*<deno@2\.9\.6>$/,
  );
  assert.equal(
    first.calls[1],
    `deno <run> <-A> <${machine.checkout}/main.ts> <serve> <--port> <80>`,
  );
  const second = await machine.run(["serve"]);
  assert.deepEqual(second.said, []);
  assert.equal(second.calls.length, 3);
  assert.deepEqual(Array.from(Deno.readDirSync(own), (entry) => entry.name), ["deno"]);
});

onMachine("uses the Deno on the PATH from the pinned version on", async (machine) => {
  machine.stub("deno", DENO);
  for (const VERSION of ["2.9.6", "2.9.10", "2.10.0", "3.0.0"]) {
    const { code, said } = await machine.run(["serve"], { VERSION });
    assert.equal(code, 0);
    assert.deepEqual(
      said,
      VERSION === "2.9.6" ? [] : [`clairon: using Deno ${VERSION}; tested with 2.9.6`],
    );
  }
  const { calls } = await machine.run(["serve"]);
  assert.ok(!calls.some((call) => call.startsWith("npm")));
});

for (const VERSION of ["2.9.5", "2.8.10", "1.46.3"]) {
  onMachine(`does not use Deno ${VERSION}`, async (machine) => {
    machine.stub("deno", DENO);
    const { said, calls } = await machine.run(["serve"], { VERSION });
    assert.match(said[0]!, new RegExp(`, as ${VERSION} on the PATH is too old$`));
    assert.match(calls[0]!, /^npm /);
  });
}

onMachine("says what to install when neither Deno nor npm is there", async (machine) => {
  machine.remove("npm");
  const { code, said } = await machine.run(["serve"]);
  assert.equal(code, 1);
  assert.equal(said.length, 1);
  assert.match(said[0]!, /Deno 2\.9\.6 is missing, and npm .* apt-get install npm/);
});

onMachine("leaves nothing behind when npm fails, and tries again", async (machine) => {
  const npm = Deno.readTextFileSync(`${machine.root}/bin/npm`);
  machine.stub("npm", 'mkdir -p "$3/node_modules/@deno"; exit 1');
  const { code, said } = await machine.run(["serve"]);
  assert.equal(code, 1);
  assert.equal(said.at(-1), "clairon: npm could not install deno@2.9.6");
  const folder = `${machine.home}/.cache/clairon/deno-2.9.6`;
  assert.deepEqual(Array.from(Deno.readDirSync(folder)), []);
  machine.stub("npm", npm.replace(/cp .*/, `: > "$to/deno"`));
  assert.match((await machine.run(["serve"])).said.at(-1)!, /does not run here/);
  machine.stub("npm", npm);
  assert.equal((await machine.run(["serve"])).code, 0);
});

onMachine("can be started several times at once", async (machine) => {
  const answers = await Promise.all([1, 2, 3].map(() => machine.run(["serve"])));
  assert.deepEqual(answers.map((answer) => answer.code), [0, 0, 0]);
  const folder = `${machine.home}/.cache/clairon/deno-2.9.6`;
  assert.deepEqual(Array.from(Deno.readDirSync(folder), (entry) => entry.name), ["deno"]);
});

onMachine("as root installs the Vulkan loader and drivers", async (machine) => {
  machine.withoutVulkan();
  const { code, said, calls } = await machine.run(["test"]);
  assert.equal(code, 0);
  assert.equal(said.at(-1)!.split(": ").at(-1), `${APT} libvulkan1 mesa-vulkan-drivers`);
  assert.equal(calls[1], "apt-get <update> <-qq>");
  assert.match(
    calls[2]!,
    /^apt-get <install> <-y> <--no-install-recommends> .* <libvulkan1> <mesa-vulkan-drivers>$/,
  );
  assert.equal(calls[3], "deno <test> <-A>");
  assert.deepEqual((await machine.run(["test"])).said, []);
  machine.withoutVulkan();
  machine.stub("apt-get", "");
  const nothing = await machine.run(["test"]);
  assert.equal(nothing.code, 1);
  assert.match(nothing.said.at(-1)!, /brought no Vulkan driver/);
});

onMachine("asks for root when there is no sudo, and only where a GPU is used", async (machine) => {
  machine.withoutVulkan();
  machine.stub("id", "echo 1000");
  const { code, said, calls } = await machine.run(["serve"]);
  assert.equal(code, 1);
  assert.match(said.at(-1)!, new RegExp(`run as root: apt-get update && ${APT} libvulkan1 mesa`));
  assert.ok(!calls.some((call) => call.startsWith("apt-get") || call.startsWith("deno")));
  for (const args of [["tokenize"], ["pull"], ["serve", "--help"]]) {
    assert.deepEqual([(await machine.run(args)).code, (await machine.run(args)).said], [0, []]);
  }
});

onMachine("leaves a missing driver to the doctor, who says what to do", async (machine) => {
  machine.withoutVulkan();
  machine.place("dev/nvidia0");
  const { code, said, calls } = await machine.run(["doctor", "--json"]);
  assert.equal(code, 0);
  assert.ok(said.every((line) => line.startsWith("clairon: installing Deno")));
  assert.ok(!calls.some((call) => call.startsWith("apt-get")));
  assert.match(calls.at(-1)!, /^deno <run> <-A> <\S.*main\.ts> <doctor> <--json>$/);
});

onMachine("uses sudo that asks no password", async (machine) => {
  machine.withoutVulkan();
  machine.stub("id", "echo 1000");
  machine.stub("sudo", `${RECORD}\nshift\n[ "$1" = true ] || exec "$@"`);
  const { code, calls } = await machine.run(["serve"]);
  assert.equal(code, 0);
  assert.deepEqual(calls.filter((call) => /^sudo .*<update>/.test(call)), [
    "sudo <-n> <apt-get> <update> <-qq>",
  ]);
});

onMachine("takes any driver that is registered, and none on macOS", async (machine) => {
  machine.withoutVulkan();
  machine.place("usr/lib64/libvulkan.so.1");
  machine.remove("apt-get");
  const drivers: Record<string, string>[] = [
    { VK_DRIVER_FILES: "/x.json" },
    { VK_ICD_FILENAMES: "/x.json" },
    { XDG_DATA_DIRS: `/none:${machine.file("opt/share")}` },
  ];
  assert.match((await machine.run(["serve"])).said.at(-1)!, /install both/);
  machine.place("opt/share/vulkan/icd.d/any.json");
  for (const env of drivers) assert.equal((await machine.run(["serve"], env)).code, 0);
  for (const share of ["etc", "usr/share", "usr/local/share", "usr/local/nvidia/share"]) {
    machine.place(`${share}/vulkan/icd.d/any.json`);
    assert.equal((await machine.run(["serve"])).code, 0, share);
    await Deno.remove(machine.file(`${share}/vulkan`), { recursive: true });
  }
  machine.stub("uname", "echo Darwin");
  assert.equal((await machine.run(["serve"])).code, 0);
});

onMachine("names an NVIDIA GPU that has no Vulkan driver, and goes on", async (machine) => {
  machine.place("dev/nvidia0");
  const { code, said } = await machine.run(["serve"]);
  assert.equal(code, 0);
  assert.match(said.at(-1)!, /going on without the NVIDIA GPU/);
  machine.place("etc/vulkan/icd.d/nvidia_icd.json");
  assert.deepEqual((await machine.run(["serve"])).said, []);
});

onMachine("becomes the task, in the caller's folder, with its arguments whole", async (machine) => {
  Deno.symlinkSync("clairon", `${machine.checkout}/link`);
  const link = `${machine.root}/far link`;
  Deno.symlinkSync("check out/link", link);
  const served = await machine.run(["serve", "a b", "", "*"], {}, machine.root, link);
  assert.equal(served.started[0], machine.root);
  assert.equal(served.started[3], `${served.pid}`);
  assert.match(served.calls.at(-1)!, /<serve> <a b> <> <\*>$/);
  const tested = await machine.run(["test", "a b"], {}, machine.root, link);
  assert.equal(tested.started[0], machine.checkout);
  assert.equal(tested.calls.at(-1), "deno <test> <-A> <a b>");
  for (const task of ["ok", "all"]) {
    const { started, calls } = await machine.run([task, "a b"], {}, machine.root, link);
    assert.equal(started[0], machine.checkout);
    assert.equal(calls.at(-1), `deno <task> <${task}> <a b>`);
  }
});

onMachine("keeps what it needs in the checkout when there is no home", async (machine) => {
  Deno.writeTextFileSync(`${machine.root}/file`, "");
  const cache = `${machine.checkout}/.cache`;
  for (const HOME of ["", `${machine.root}/file`]) {
    const { code, started } = await machine.run(["serve"], { HOME });
    assert.equal(code, 0);
    assert.deepEqual(started.slice(1, 3), [`${cache}/deno`, cache]);
  }
  assert.ok(Deno.statSync(`${cache}/clairon/deno-2.9.6/deno`).isFile);
});

onMachine("lists the tasks with nothing installed, and refuses others", async (machine) => {
  machine.remove("npm", "apt-get");
  machine.withoutVulkan();
  const { code, out } = await machine.run(["--help"]);
  assert.equal(code, 0);
  assert.match(
    out,
    /^ {2}serve {6}Serve it\n {2}tokenize {3}deno run .*\n[^]* {2}ok {9}The "gate"$/m,
  );
  const unknown = await machine.run(["Serve"]);
  assert.deepEqual([unknown.code, unknown.said], [
    2,
    ["clairon: no task is named Serve; ./clairon --help lists them"],
  ]);
  assert.equal((await machine.run([])).code, 2);
});

Deno.test("clairon --help lists every task of deno.json", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url)));
  const launcher = new URL("../clairon", import.meta.url);
  const { stdout } = await new Deno.Command(launcher, { args: ["--help"] }).output();
  const listed = new TextDecoder().decode(stdout).split("\n").filter((line) =>
    /^ {2}\S/.test(line)
  );
  assert.deepEqual(
    listed,
    Object.entries<string | { description: string }>(tasks).map(([name, task]) =>
      `  ${name.padEnd(10)} ${typeof task === "string" ? task : task.description}`
    ),
  );
});
