/**
 * What a person wants to see once the server is ready: where, what, on which GPU, and a command to
 * try it with.
 *
 * Knows only how to say it.
 */
import type { EngineInfo } from "../model/engine.ts";

const TRY = {
  inputs: "- Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?\n-",
  parameters: { max_new_tokens: 64, do_sample: true, stop: ["\n"] },
};

/** @param keyed whether clients need a key: the command then takes it from the environment */
export function banner(url: string, info: EngineInfo, keyed = false): string {
  const group = info.groupSize > 0 ? `groups of ${info.groupSize}` : "one group";
  const order = info.actOrder ? ", act-order" : "";
  const software = info.software ? " (software: a CPU does the GPU's work, slowly)" : "";
  const key = keyed ? ' -H "Authorization: Bearer $API_KEY"' : "";
  return `Clairon is ready on ${url}
  model       ${info.model} (${info.bits}-bit, ${group}${order})
  branch      ${branchOf(info)}
  adapter     ${info.adapter}${software}
  path        ${info.path}${info.pathReason === undefined ? "" : ` (${info.pathReason})`}${
    rows(info)
  }
  GPU memory  ${formatBytes(info.gpuMemoryBytes)}
  KV cache    ${formatBytes(info.kvBytes)} of it: ${info.kvTokens} tokens, ${answers(info.slots)}
  loaded in   ${info.loadSeconds.toFixed(1)} s

Try it:
curl ${url}/generate${key} -H 'Content-Type: application/json' -d ${shellQuote(JSON.stringify(TRY))}
`;
}

/** How several rows are computed, where it is not the usual way; the error is LOG.md's. */
function rows({ activations, deterministic }: EngineInfo): string {
  const ways = [
    ...activations === "int8" ? ["int8, logits off by an NMSE of 2e-4 to 4e-4"] : [],
    ...activations === "f16" ? ["f16, logits off by an NMSE of 1e-6 to 5e-6"] : [],
    ...deterministic ? ["deterministic"] : [],
  ];
  return ways.length === 0 ? "" : `\n  batches     ${ways.join("; ")}`;
}

function answers(slots: number): string {
  return slots === 1 ? "one answer at a time" : `up to ${slots} answers at once`;
}

/** Of a model from the hub; folders have none. */
function branchOf({ revision, commit }: EngineInfo): string {
  if (revision === undefined) return "none";
  return commit === undefined || commit === revision
    ? revision
    : `${revision} (commit ${commit.slice(0, 7)})`;
}

/** The URL to reach a server that listens on `hostname`; every network includes this machine. */
export function serverUrl(hostname: string, port: number): string {
  const everywhere = hostname === "0.0.0.0" || hostname === "::";
  const host = everywhere ? "127.0.0.1" : hostname.includes(":") ? `[${hostname}]` : hostname;
  return `http://${host}:${port}`;
}

/** One word for a shell; in double quotes, because the prompt is full of apostrophes. */
function shellQuote(text: string): string {
  return `"${text.replace(/["\\$`]/g, "\\$&")}"`;
}

function formatBytes(bytes: number): string {
  return bytes < 2 ** 30
    ? `${(bytes / 2 ** 20).toFixed(0)} MiB`
    : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
