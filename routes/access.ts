/**
 * Who may use the server, as the app is told: keys, web pages, and the names it answers to.
 *
 * Knows what follows from the settings and the address. Knows no request: `api_keys.ts` and
 * `browsers.ts` do.
 */
import type { Settings } from "./settings.ts";

export interface Access {
  /** Any one of these opens the routes that need a key; with none, no route does. */
  keys: readonly string[];
  /** Origins whose pages may use this server beside its own; "*" stands for all. */
  origins: readonly string[];
  /** Names that a request's `Host` may have beside the loopback ones; undefined: any. */
  hosts: readonly string[] | undefined;
}

export const OPEN: Access = { keys: [], origins: [], hosts: undefined };

/** `localhost` and the loopback addresses, as in a URL and as an address. */
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\]|::1)$/i;

export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}

/**
 * A server that only this machine reaches is still reached by every web page open in its browser,
 * under whatever name the page's owner gives to 127.0.0.1. So without a key such a server answers
 * to known names only.
 *
 * @param hostname where it listens; undefined if that is not known
 */
export function accessOf(settings: Settings, hostname: string | undefined): Access {
  const { "api-key": keys, "cors-origin": origins, "allowed-host": hosts } = settings;
  const exposed = hostname !== undefined && isLoopback(hostname) && keys.length === 0;
  return { keys, origins, hosts: exposed || hosts.length > 0 ? hosts : undefined };
}

/** The key that opens the internal routes; an edge uses its key only towards its own sidecars. */
export function sidecarKeyOf(settings: Settings): string | undefined {
  return settings.engine.length > 0 ? undefined : settings["sidecar-key"];
}

/** For whoever starts a server that everybody on its network can use; else undefined. */
export function exposure({ keys }: Access, hostname: string): string | undefined {
  if (keys.length > 0 || isLoopback(hostname)) return undefined;
  return "Whoever reaches this machine can use it: an API key keeps others out (--api-key, API_KEYS).";
}
