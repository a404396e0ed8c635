/**
 * The Vulkan loader and the drivers that are registered with it, on Linux.
 *
 * Knows the folders and variables that the loader looks at, and the files in which drivers name
 * their library. Loads nothing.
 */
import { basename, dirname, isAbsolute, join, resolve } from "node:path";

export interface VulkanDriver {
  /** The file that registers it. */
  file: string;
  /** Its library, as the file names it; empty when the file is none. */
  library: string;
  /** Whether the library was found. */
  isThere: boolean;
}

export interface VulkanFacts {
  /** Where the loader is; undefined when it is in none of the usual folders. */
  loader: string | undefined;
  drivers: VulkanDriver[];
  /** The variable that names the drivers, in place of the folders. */
  variable: string | undefined;
}

type Variables = Readonly<Record<string, string | undefined>>;

/** @param root stands before every system path; only tests give one */
export async function findVulkan(variables: Variables, root = ""): Promise<VulkanFacts> {
  const libraries = await libraryFolders(variables, root);
  const variable = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].find((name) => variables[name]);
  const named = (variables[variable ?? ""] ?? "").split(":").filter(Boolean);
  const added = (variables.VK_ADD_DRIVER_FILES ?? "").split(":").filter(Boolean);
  const places = variable === undefined ? [...added, ...driverFolders(variables, root)] : named;
  const drivers: VulkanDriver[] = [];
  for (const place of places) {
    for (const file of await filesAt(place)) {
      drivers.push(await readDriver(file, libraries, root));
    }
  }
  return { loader: await findLibrary("libvulkan.so.1", libraries), drivers, variable };
}

/** In the loader's order. */
function driverFolders(variables: Variables, root: string): string[] {
  const { HOME } = variables;
  const list = (name: string, preset: string[]) =>
    variables[name] ? variables[name]!.split(":") : preset;
  const bases = [
    ...list("XDG_CONFIG_HOME", HOME ? [join(HOME, ".config")] : []),
    ...list("XDG_CONFIG_DIRS", [`${root}/etc/xdg`]),
    `${root}/etc`,
    ...list("XDG_DATA_HOME", HOME ? [join(HOME, ".local", "share")] : []),
    ...list("XDG_DATA_DIRS", [`${root}/usr/local/share`, `${root}/usr/share`]),
  ];
  return [...new Set(bases)].map((base) => join(base, "vulkan", "icd.d"));
}

async function libraryFolders({ LD_LIBRARY_PATH }: Variables, root: string): Promise<string[]> {
  const usr = `${root}/usr/lib`;
  const named = (LD_LIBRARY_PATH ?? "").split(":").filter(Boolean);
  const multiarch = (await namesIn(usr)).filter((name) => name.endsWith("-linux-gnu"));
  return [
    ...named,
    ...multiarch.map((name) => join(usr, name)),
    ...[`${root}/usr/lib64`, usr, `${root}/usr/local/lib`, `${root}/usr/local/nvidia/lib64`],
  ];
}

/** The registration files at a path: of a folder those in it, else the file itself. */
async function filesAt(path: string): Promise<string[]> {
  if (path.endsWith(".json")) return [path];
  const names = (await namesIn(path)).filter((name) => name.endsWith(".json"));
  return names.map((name) => join(path, name));
}

async function readDriver(
  file: string,
  libraries: string[],
  root: string,
): Promise<VulkanDriver> {
  let library: unknown;
  try {
    library = JSON.parse(await Deno.readTextFile(file))?.ICD?.library_path;
  } catch {
    // Not there, or no JSON: it registers nothing.
  }
  if (typeof library !== "string") return { file, library: "", isThere: false };
  const found = library === basename(library)
    ? await findLibrary(library, libraries)
    : isAbsolute(library)
    ? await findLibrary(basename(library), [root + dirname(library)])
    : await findLibrary(basename(library), [resolve(dirname(file), dirname(library))]);
  return { file, library, isThere: found !== undefined };
}

async function findLibrary(name: string, folders: string[]): Promise<string | undefined> {
  for (const folder of folders) {
    const path = join(folder, name);
    if (await Deno.stat(path).then(() => true, () => false)) return path;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
  } catch {
    return [];
  }
}
