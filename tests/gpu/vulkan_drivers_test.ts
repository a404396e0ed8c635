/** Finding Vulkan drivers in a made-up system. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { findVulkan } from "../../gpu/vulkan_drivers.ts";

/** Runs `body` with a folder that stands for the system, and a way to put files there. */
async function withSystem(
  body: (root: string, put: (path: string, text?: string) => string) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await body(root, (path, text = "") => {
      const at = join(root, path);
      Deno.mkdirSync(dirname(at), { recursive: true });
      Deno.writeTextFileSync(at, text);
      return at;
    });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

function registration(library_path: string): string {
  return JSON.stringify({
    file_format_version: "1.0.0",
    ICD: { library_path, api_version: "1.3" },
  });
}

Deno.test("drivers are found where the loader looks, with their libraries", () =>
  withSystem(async (root, put) => {
    const lvp = put(
      "usr/share/vulkan/icd.d/lvp.json",
      registration("/usr/lib/x-linux-gnu/libvulkan_lvp.so"),
    );
    const nvidia = put("etc/vulkan/icd.d/nvidia.json", registration("libGLX_nvidia.so.0"));
    const near = put("home/.local/share/vulkan/icd.d/near.json", registration("./libnear.so"));
    put("usr/lib/x-linux-gnu/libvulkan_lvp.so");
    const loader = put("usr/lib64/libvulkan.so.1");
    const variables = { HOME: join(root, "home") };
    const found = await findVulkan(variables, root);
    assert.deepEqual(found, {
      loader,
      variable: undefined,
      drivers: [
        { file: nvidia, library: "libGLX_nvidia.so.0", isThere: false },
        { file: near, library: "./libnear.so", isThere: false },
        { file: lvp, library: "/usr/lib/x-linux-gnu/libvulkan_lvp.so", isThere: true },
      ],
    });
    put("home/.local/share/vulkan/icd.d/libnear.so");
    put("usr/local/nvidia/lib64/libGLX_nvidia.so.0");
    assert.ok((await findVulkan(variables, root)).drivers.every(({ isThere }) => isThere));
    const elsewhere = put("opt/share/vulkan/icd.d/any.json", registration("libvulkan.so.1"));
    const data = await findVulkan({ XDG_DATA_DIRS: join(root, "opt/share") }, root);
    assert.deepEqual(data.drivers.map(({ file }) => file), [nvidia, elsewhere]);
  }));

Deno.test("variables name drivers in place of the folders, or beside them", () =>
  withSystem(async (root, put) => {
    const usual = put("usr/share/vulkan/icd.d/lvp.json", registration("libx.so"));
    const one = put("one.json", registration("libone.so"));
    put("many/a.json", "{}");
    put("many/readme.txt");
    put("libs/libone.so");
    const files = async (variables: Record<string, string>) =>
      (await findVulkan(variables, root)).drivers.map(({ file, isThere }) => [file, isThere]);
    const many = join(root, "many");
    for (const name of ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]) {
      assert.equal((await findVulkan({ [name]: one }, root)).variable, name);
      assert.deepEqual(
        await files({ [name]: `${one}:${many}`, LD_LIBRARY_PATH: join(root, "libs") }),
        [[one, true], [join(many, "a.json"), false]],
      );
    }
    assert.deepEqual(await files({ VK_DRIVER_FILES: "/nowhere.json" }), [["/nowhere.json", false]]);
    assert.deepEqual(await files({ VK_ADD_DRIVER_FILES: one }), [[one, false], [usual, false]]);
  }));

Deno.test("files that are no registration name no driver", () =>
  withSystem(async (root, put) => {
    for (
      const [i, text] of ["", "[]", '{"ICD": 3}', '{"ICD": {"library_path": 3}}', "nul\0"].entries()
    ) {
      put(`etc/vulkan/icd.d/${i}.json`, text);
    }
    put("etc/vulkan/icd.d/notes.txt", registration("libx.so"));
    const { loader, drivers } = await findVulkan({}, root);
    assert.equal(loader, undefined);
    assert.equal(drivers.length, 5);
    assert.ok(drivers.every(({ library, isThere }) => library === "" && !isThere));
  }));
