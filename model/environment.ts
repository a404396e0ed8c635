/**
 * The environment, as far as this process may see it.
 *
 * Knows that a server may be allowed to read some variables and not the others. Knows no name.
 */

export type Variables = Readonly<Record<string, string | undefined>>;

/**
 * Every variable by its name, read when it is asked for. One that the process may not read counts as
 * absent, so `--allow-env=HOST,PORT` is enough; `Deno.env.toObject()` would want all of them.
 */
export function environment(): Variables {
  return new Proxy({}, { get: (_, name) => typeof name === "string" ? read(name) : undefined });
}

function read(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}
