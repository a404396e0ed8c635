/**
 * `deno task branches`: the branches of Claire's repository, what each costs, and which are here.
 *
 * Knows its flags and standard output. Asks the cache, never the hub.
 */
import { BRANCHES, diskBytes, memoryBytes } from "../hub/branches.ts";
import { HubError } from "../hub/error.ts";
import { findCached } from "../hub/cached.ts";
import { DEFAULT_REPO } from "../hub/names.ts";
import { HUB_VARIABLES, hubSettings } from "../hub/settings.ts";
import { formatBytes } from "../sizes.ts";
import { Arguments, UsageError } from "./arguments.ts";
import { type Flags, flagsHelp } from "./flags.ts";

export const FLAGS: Flags = {
  json: { variable: "BRANCHES_JSON", help: "print a JSON list instead of a table" },
};

export const help = `List the branches of ${DEFAULT_REPO}.

Usage: deno task branches [flags]

Flags, and the environment variables that say the same:

${flagsHelp(FLAGS)}

The cache is found as by \`pull\`: HF_HUB_CACHE is ${HUB_VARIABLES.HF_HUB_CACHE}.
Sizes on disk and GPU memory are computed from the formats; the card prints only the first of the
two files of the 8-bit branches. Memory is for one context of 2048 tokens, the driver's own apart.

Exit code: 0; 1 if there is no home to look for a cache in; 2 for wrong arguments.
`;

/** Returns the exit code. */
export async function run(argv: string[]): Promise<number> {
  try {
    const args = new Arguments(argv, FLAGS, Deno.env.toObject());
    const [unexpected] = args.positionals;
    if (args.help) console.log(help);
    else if (unexpected !== undefined) {
      throw new UsageError(`Expected flags alone, found "${unexpected}". Try --help.`);
    } else {
      const rows = await listBranches();
      console.log(args.has("json") ? JSON.stringify(rows) : table(rows));
    }
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof HubError)) throw error;
    console.error(error.message);
    return error instanceof UsageError ? 2 : 1;
  }
}

async function listBranches() {
  const settings = hubSettings(Deno.env.toObject());
  return await Promise.all(BRANCHES.map(async (branch) => {
    const here = await findCached({ repo: DEFAULT_REPO, revision: branch.revision }, settings);
    return {
      revision: branch.revision,
      bits: branch.bits,
      group_size: branch.groupSize || null,
      act_order: true,
      disk_bytes: diskBytes(branch),
      gpu_bytes: memoryBytes(branch),
      folder: here?.folder ?? null,
    };
  }));
}

function table(rows: Awaited<ReturnType<typeof listBranches>>): string {
  const heads = ["branch", "bits", "group", "act-order", "on disk", "GPU memory", "here"];
  const cells = rows.map((row) => [
    row.revision,
    `${row.bits}`,
    `${row.group_size ?? "none"}`,
    row.act_order ? "yes" : "no",
    formatBytes(row.disk_bytes),
    formatBytes(row.gpu_bytes),
    row.folder === null ? "-" : "yes",
  ]);
  const widths = heads.map((head, i) =>
    Math.max(...[head, ...cells.map((c) => c[i]!)].map((t) => t.length))
  );
  const lines = [heads, ...cells].map((line) =>
    line.map((text, i) => text.padEnd(widths[i]!)).join("  ").trimEnd()
  );
  const note = "Sizes are computed; GPU memory is for one context of 2048 tokens.";
  return [DEFAULT_REPO, "", ...lines, "", note].join("\n");
}
