/**
 * `deno task doctor`: is everything there, and if not, what to do?
 *
 * Knows its flags and how to print checks. Knows neither where to look nor what is wrong.
 */
import { type Check, diagnose } from "../doctor/checks.ts";
import { gatherFacts } from "../doctor/facts.ts";
import { Arguments, UsageError } from "./arguments.ts";
import { type Flags, flagsHelp } from "./flags.ts";

export const FLAGS: Flags = {
  host: { value: "ADDRESS", variable: "HOST", help: "where to listen (default: 127.0.0.1)" },
  port: { value: "NUMBER", variable: "PORT", help: "the port to look at (default: 8080)" },
  json: { variable: "DOCTOR_JSON", help: "print a JSON object" },
};

export const help = `Check this machine for what Clairon needs, and say what to do.

Usage: deno task doctor [flags]

Flags, and the environment variables that say the same:

${flagsHelp(FLAGS)}

Looks at Deno, GPU drivers, adapter, memory, disk, cache and port; changes nothing.

Exit code: 0; 1 if something is wrong; 2 for wrong arguments.
`;

const SIGNS: Record<Check["status"], string> = { ok: "ok", note: "note", problem: "PROBLEM" };

/** Returns the exit code. */
export async function run(argv: string[]): Promise<number> {
  const variables = Deno.env.toObject();
  let asked: { host: string; port: number; json: boolean };
  try {
    const args = new Arguments(argv, FLAGS, variables);
    if (args.help) {
      console.log(help);
      return 0;
    }
    const [unexpected] = args.positionals;
    if (unexpected !== undefined) {
      throw new UsageError(`Expected flags alone, found "${unexpected}". Try --help.`);
    }
    asked = {
      host: args.text("host") ?? "127.0.0.1",
      port: args.whole("port", 0, 65535) ?? 8080,
      json: args.has("json"),
    };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    return 2;
  }
  const facts = await gatherFacts({ variables, ...asked });
  const checks = diagnose(facts);
  const problems = checks.filter(({ status }) => status === "problem").length;
  const ok = problems === 0;
  if (asked.json) console.log(JSON.stringify({ ok, checks, facts }));
  else console.log(checks.map(lines).join("\n") + `\n\n${verdict(problems)}`);
  return ok ? 0 : 1;
}

function lines({ name, status, text, cure }: Check): string {
  const line = `${SIGNS[status].padEnd(7)}  ${name.padEnd(8)}  ${text}`;
  return cure === undefined ? line : `${line}\n${" ".repeat(19)}→ ${cure}`;
}

function verdict(problems: number): string {
  if (problems === 0) return "Nothing is wrong.";
  return problems === 1
    ? "1 problem; the arrow says what to do."
    : `${problems} problems; the arrows say what to do.`;
}
