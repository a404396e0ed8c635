/**
 * Prints shaders as they are compiled, for who debugs or reads generated ones: `DEBUG=wgsl`.
 *
 * Knows the variable and the form of what is printed, which is itself WGSL. Knows no pipeline.
 */

/** A shader as it goes to the compiler. */
interface Shader {
  name: string;
  code: string;
  /** Values of its `override` declarations. */
  constants: Record<string, number>;
}

/** Writes the shader to standard error if the variable `DEBUG` lists `wgsl`; else does nothing. */
export function printShader({ name, code, constants }: Shader): void {
  if (!wanted()) return;
  const values = Object.entries(constants).map(([key, value]) => `${key} = ${value}`);
  console.error(`// ${name}: ${values.join(", ") || "no constants"}\n${code.trimEnd()}\n`);
}

/** Whoever may not read the variable does not want it, and is not asked for leave. */
function wanted(): boolean {
  const { state } = Deno.permissions.querySync({ name: "env", variable: "DEBUG" });
  return state === "granted" && (Deno.env.get("DEBUG") ?? "").split(/[\s,]+/).includes("wgsl");
}
