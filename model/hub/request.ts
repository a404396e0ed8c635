/**
 * One request to the hub, redirects included.
 *
 * Knows that the token is for the hub alone and goes to no other host, and what a silent connection
 * is. Knows no route and no file.
 */
import { HubError } from "./error.ts";
import { Transient } from "./backoff.ts";

export interface Request {
  method?: "GET" | "HEAD";
  headers?: Record<string, string>;
  /** Sent to the endpoint's own host only. */
  token: string | undefined;
  endpoint: string;
  signal: AbortSignal;
  /** Connections of their own, rather than one for all. */
  client: Deno.HttpClient;
  /** Whether to stop at this response, a redirect too. */
  isEnough?(response: Response): boolean;
}

export interface Reply {
  response: Response;
  /** Where the response came from, after all redirects. */
  url: string;
  /** Every response on the way, the last one included. */
  headers: Headers[];
}

const MOST_REDIRECTS = 10;
/** Seconds without a byte after which a connection counts as dead. */
export const SILENCE_SECONDS = 30;

/**
 * @throws {Transient} when there is no answer
 * @throws {HubError} for redirects that lead nowhere, or from https to http
 */
export async function send(url: string, request: Request): Promise<Reply> {
  const { origin, protocol } = new URL(request.endpoint);
  const headers: Headers[] = [];
  for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
    const isHub = new URL(url).origin === origin;
    const response = await sendOnce(url, request, isHub);
    headers.push(response.headers);
    const location = isRedirect(response) && response.headers.get("location");
    if (!location || request.isEnough?.(response)) return { response, url, headers };
    await response.body?.cancel();
    const next = URL.parse(location, url);
    const isSafe = next && (next.protocol === "https:" || next.protocol === protocol);
    if (!isSafe || !/^https?:$/.test(next.protocol)) {
      throw new HubError(`${hostOf(url)} redirects to an address that is not safe to follow.`);
    }
    url = next.href;
  }
  throw new HubError(`${hostOf(url)} redirects without an end.`);
}

async function sendOnce(url: string, request: Request, isHub: boolean): Promise<Response> {
  const { method = "GET", client, token } = request;
  const headers = new Headers({ "user-agent": "clairon", ...request.headers });
  // The file as it is: its bytes are counted and hashed.
  headers.set("accept-encoding", "identity");
  if (isHub && token !== undefined) headers.set("authorization", `Bearer ${token}`);
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), SILENCE_SECONDS * 1000);
  try {
    const signal = AbortSignal.any([request.signal, silence.signal]);
    return await fetch(url, { method, headers, client, signal, redirect: "manual" });
  } catch (error) {
    request.signal.throwIfAborted();
    throw noAnswer(url, silence.signal.aborted ? "no answer" : error);
  } finally {
    clearTimeout(timer);
  }
}

function isRedirect({ status }: Response): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

/** A connection that failed, without the address: it may be signed. */
export function noAnswer(url: string, error: unknown): Transient {
  const all = error instanceof Error ? `${error.message} ${error.cause ?? ""}` : String(error);
  const text = all.replace(/\(https?:[^)]*\)/g, "");
  const reasons: [RegExp, string][] = [
    [/dns|lookup/i, "its name is not known"],
    [/refused/i, "the connection was refused"],
    [/certificate|tls|ssl/i, "its certificate is not trusted"],
    [/no answer|timed? ?out/i, `it was silent for ${SILENCE_SECONDS} seconds`],
  ];
  const reason = reasons.find(([pattern]) => pattern.test(text))?.[1] ?? "the connection broke";
  return new Transient(`${hostOf(url)} could not be read: ${reason}`);
}

export function hostOf(url: string): string {
  return URL.parse(url)?.host ?? "the hub";
}

/**
 * The body, piece by piece.
 *
 * @throws {Transient} when the connection breaks or falls silent
 */
export async function* piecesOf(
  response: Response,
  url: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (!response.body) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await unlessSilent(reader.read());
      if (done) return;
      yield value;
    }
  } catch (error) {
    signal.throwIfAborted();
    throw noAnswer(url, error);
  } finally {
    await reader.cancel().catch(() => {});
  }
}

async function unlessSilent<Value>(promise: Promise<Value>): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer")), SILENCE_SECONDS * 1000);
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}
