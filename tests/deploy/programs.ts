/** Where a program of Debian's lies: on the PATH, or in the folders that only root's has. */
export function findProgram(name: string): string | undefined {
  for (const folder of [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/sbin"]) {
    try {
      if (Deno.statSync(`${folder}/${name}`).isFile) return `${folder}/${name}`;
    } catch {
      // Not here.
    }
  }
}
