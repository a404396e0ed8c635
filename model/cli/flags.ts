/**
 * A command's flags as a table, which is also its help text and names a variable for each flag.
 *
 * Knows the form of the table and of the text. Knows no command.
 */

export interface Flag {
  /** What stands for the value ("DIR"); a flag without is a switch. */
  value?: string;
  /** The environment variable that says the same; a flag wins. */
  variable: string;
  help: string;
}

export type Flags = Readonly<Record<string, Flag>>;

const FLAG_WIDTH = 26;
const VARIABLE_WIDTH = 19;

/** The flags and variables, a line each, and --help. */
export function flagsHelp(flags: Flags): string {
  const lines = Object.entries(flags).map(([name, flag]) =>
    line(
      flag.value === undefined ? `--${name}` : `--${name} ${flag.value}`,
      flag.variable,
      flag.help,
    )
  );
  return [...lines, line("--help", "", "this text")].join("\n");
}

function line(flag: string, variable: string, help: string): string {
  return `  ${flag.padEnd(FLAG_WIDTH)} ${variable.padEnd(VARIABLE_WIDTH)} ${help}`;
}

/** Whether a switch's variable says yes; undefined for what is neither yes nor no. */
export function switchValue(text: string): boolean | undefined {
  if (/^(1|on|yes|true)$/i.test(text)) return true;
  if (/^(0|off|no|false)?$/i.test(text)) return false;
  return undefined;
}
