/** What a command prints, and its exit code. */

export interface Captured {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command in this process; what it prints with `console` is kept from the test's output. */
export async function captured(command: () => Promise<number>): Promise<Captured> {
  const { log, error } = console;
  const printed = { stdout: "", stderr: "" };
  console.log = (text: string) => printed.stdout += `${text}\n`;
  console.error = (text: string) => printed.stderr += `${text}\n`;
  try {
    return { code: await command(), ...printed };
  } finally {
    Object.assign(console, { log, error });
  }
}
