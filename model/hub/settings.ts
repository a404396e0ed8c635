/**
 * Where the hub is, where its files are kept here, and who asks: from the environment variables that
 * Hugging Face's own client reads.
 *
 * Knows the variables and their defaults. Knows no model.
 */
import { isAbsolute, join, resolve } from "node:path";
import { HubError } from "./error.ts";

export interface HubSettings {
  /** Without a slash at its end. */
  endpoint: string;
  /** The cache's folder, which holds one folder a repository. */
  cache: string;
  token: string | undefined;
  /** Whether nothing may be asked of the hub. */
  offline: boolean;
}

export type Variables = Readonly<Record<string, string | undefined>>;

/** Every variable read here, with what it says: for help and README. */
export const HUB_VARIABLES: Readonly<Record<string, string>> = {
  HF_HUB_CACHE: "the cache's folder (default: hub in HF_HOME)",
  HF_HOME: "Hugging Face's folder (default: huggingface in XDG_CACHE_HOME or ~/.cache)",
  HF_TOKEN: "the token for private and gated models (default: the file token in HF_HOME)",
  HF_TOKEN_PATH: "another file for it",
  HF_ENDPOINT: "the hub's address, a mirror's say (default: https://huggingface.co)",
  HF_HUB_OFFLINE: "1 to ask the hub nothing and use what is here",
};

const ENDPOINT = "https://huggingface.co";

/**
 * @throws {HubError} for an address that is none, a token that no header can carry, or when there is
 * no home to keep a cache in
 */
export function hubSettings(variables: Variables): HubSettings {
  const home = folder(variables, "HF_HOME") ?? join(cacheHome(variables), "huggingface");
  const cache = folder(variables, "HF_HUB_CACHE") ??
    folder(variables, "HUGGINGFACE_HUB_CACHE") ?? join(home, "hub");
  return {
    endpoint: readEndpoint(variables.HF_ENDPOINT || ENDPOINT),
    cache: resolve(cache),
    token: readToken(variables, folder(variables, "HF_TOKEN_PATH") ?? join(home, "token")),
    offline: isTrue(variables.HF_HUB_OFFLINE || variables.TRANSFORMERS_OFFLINE),
  };
}

function readEndpoint(text: string): string {
  const url = URL.parse(text);
  if (url && /^https?:$/.test(url.protocol)) return text.replace(/\/+$/, "");
  throw new HubError(`HF_ENDPOINT must be an address like ${ENDPOINT}, found "${text}".`);
}

function readToken(variables: Variables, path: string): string | undefined {
  if (isTrue(variables.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  const named = clean(variables.HF_TOKEN) || clean(variables.HUGGING_FACE_HUB_TOKEN);
  const token = named || clean(textOf(path));
  // The token itself is never shown.
  if (token && !/^[\x21-\x7e]+$/.test(token)) {
    const place = named ? "HF_TOKEN" : path;
    throw new HubError(`${place} should hold a token, found characters that no token has.`);
  }
  return token || undefined;
}

function textOf(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}

/** Copied tokens come with line feeds. */
function clean(text: string | undefined): string | undefined {
  return text?.replace(/[\r\n]/g, "").trim();
}

/** As the Python client reads switches. */
function isTrue(text: string | undefined): boolean {
  return /^(1|on|yes|true)$/i.test(text ?? "");
}

/** A folder from a variable, with ~ and other variables in it put in. */
function folder(variables: Variables, name: string): string | undefined {
  const text = variables[name];
  if (!text) return undefined;
  const known = text.replace(/\$(?:(\w+)|\{(\w+)\})/g, (all, a, b) => variables[a ?? b] ?? all);
  return known.replace(/^~(?=$|[/\\])/, () => homeOf(variables) ?? "~");
}

function cacheHome(variables: Variables): string {
  const named = folder(variables, "XDG_CACHE_HOME");
  if (named && isAbsolute(named)) return named;
  const home = homeOf(variables);
  if (home) return join(home, ".cache");
  throw new HubError("There is no home folder to keep models in: set HF_HOME to a folder.");
}

function homeOf(variables: Variables): string | undefined {
  return variables.HOME || variables.USERPROFILE || undefined;
}
