/**
 * The hub's routes: what a repository holds at a revision, and the bytes of its files.
 *
 * Knows addresses, headers, and what each refusal means to a person. Knows nothing of what is kept on
 * disk or of what a model needs.
 */
import { quote } from "../checkpoint/report.ts";
import { passesByItself, type Patience, retryAfter, retrying, Transient } from "./backoff.ts";
import { HubError } from "./error.ts";
import { checkReply, header, type HubFile, mismatch } from "./hub_file.ts";
import { checkFileName, hashFromEtag, isCommit, type Source } from "./names.ts";
import { refusal } from "./refusal.ts";
import { hostOf, piecesOf, type Reply, type Request, send } from "./request.ts";
import type { HubSettings } from "./settings.ts";

export interface Repository extends Source {
  /** The commit that the revision stands for now. */
  commit: string;
  /** Names of all files, whatever they are. */
  files: Set<string>;
}

/** Tries to reach the hub at all. */
const FIRST_TRIES = 2;
/** Bytes of a JSON answer that are read at most. */
const LARGEST_ANSWER = 20_000_000;

export class HubClient {
  /** Where the hub sent us for a file, until that stops working. */
  #places = new Map<string, string>();
  #wasReached = false;
  // With HTTP/2 every request would share one connection.
  #http = Deno.createHttpClient({ http2: false });

  constructor(
    private readonly settings: HubSettings,
    private readonly signal: AbortSignal,
    private readonly patience: Patience = {},
  ) {}

  close(): void {
    this.#http.close();
  }

  /** @throws {HubError} when there is no such repository or revision, or it is not for us */
  async repository({ repo, revision }: Source): Promise<Repository> {
    const path = `/api/models/${repo}/revision/${encodeURIComponent(revision)}`;
    const { json } = await this.#json(path, { repo, revision });
    const { sha, siblings } = Object(json) as { sha?: unknown; siblings?: unknown };
    if (typeof sha !== "string" || !isCommit(sha)) {
      throw this.#odd(`the commit of ${revision}`, "40 hexadecimal digits", sha);
    }
    const named = namesIn(siblings, "rfilename");
    const files = named?.size ? named : await this.#tree({ repo, revision: sha });
    return { repo, revision, commit: sha, files };
  }

  /** The names in the repository's root, from the route that lists them page by page. */
  async #tree(source: Source): Promise<Set<string>> {
    const names = new Set<string>();
    let next: string | undefined = `/api/models/${source.repo}/tree/${source.revision}`;
    for (let pages = 0; next !== undefined && pages < 100; pages++) {
      const { json, headers }: { json: unknown; headers: Headers } = await this.#json(next, source);
      const found = namesIn(json, "path");
      if (found === undefined) throw this.#odd("the list of files", "a list", json);
      found.forEach((name) => names.add(name));
      const link = /<([^>]+)>\s*;\s*rel="?next/.exec(headers.get("link") ?? "")?.[1];
      const url = link === undefined ? null : URL.parse(link, this.settings.endpoint);
      next = url ? url.pathname + url.search : undefined;
    }
    return names;
  }

  /** @throws {HubError} when the file is not there, or the hub does not say what it is */
  async file({ repo, revision, commit }: Repository, name: string): Promise<HubFile> {
    const url = this.#address(repo, commit, checkFileName(name));
    const { headers } = await retrying(
      async () => {
        const reply = await this.#send(url, {
          method: "HEAD",
          isEnough: ({ headers }) => headers.has("x-linked-etag"),
        });
        const { status } = reply.response;
        if (status < 400) return reply;
        throw this.#refused(reply, { repo, revision });
      },
      this.patience,
      this.signal,
    );
    const last = headers.at(-1)!;
    const found = header(headers, "x-repo-commit");
    if (found !== commit) throw this.#odd(`the commit of ${name}`, commit, found ?? undefined);
    const size = last.get("x-linked-size") ?? last.get("content-length");
    if (size === null || !/^\d{1,15}$/.test(size)) {
      throw this.#odd(`the size of ${name}`, "a number of bytes", size ?? undefined);
    }
    const hash = hashFromEtag(last.get("x-linked-etag") ?? last.get("etag"), name);
    return { name, hash, bytes: Number(size), commit };
  }

  /**
   * The bytes `start` to `end` of a file, once: no retry.
   *
   * @returns the pieces, and whether they are the whole file, which a server without ranges sends
   * @throws {Transient} when it may work later or from another place
   * @throws {HubError} when the server says no, or means another file
   */
  async range(
    repo: Source,
    file: HubFile,
    start: number,
    end: number,
    signal: AbortSignal,
  ): Promise<{ pieces: AsyncGenerator<Uint8Array<ArrayBuffer>>; whole: boolean }> {
    const address = this.#address(repo.repo, file.commit, file.name);
    const isWhole = start === 0 && end === file.bytes;
    const reply = await this.#send(this.#places.get(address) ?? address, {
      headers: isWhole ? {} : { range: `bytes=${start}-${end - 1}` },
      signal,
    });
    const { response, url, headers } = reply;
    const isElsewhere = hostOf(url) !== hostOf(address);
    if (response.status >= 400) {
      await response.body?.cancel();
      this.#places.delete(address);
      if (response.status === 416) throw mismatch(file, "fewer");
      // Addresses that the hub signs for elsewhere expire: the hub gives another one.
      if (isElsewhere && response.status < 500 && response.status !== 429) {
        throw new Transient(`${hostOf(url)} answered ${response.status} for ${file.name}`);
      }
      throw this.#refused(reply, repo);
    }
    try {
      checkReply(file, headers, response, start, end);
    } catch (error) {
      await response.body?.cancel();
      throw error;
    }
    if (isElsewhere) this.#places.set(address, url);
    return { pieces: piecesOf(response, url, signal), whole: response.status !== 206 };
  }

  #address(repo: string, commit: string, name: string): string {
    return `${this.settings.endpoint}/${repo}/resolve/${commit}/${encodeURIComponent(name)}`;
  }

  async #json(path: string, source: Source): Promise<{ json: unknown; headers: Headers }> {
    return await retrying(
      async () => {
        const reply = await this.#send(this.settings.endpoint + path, {});
        const { response, url } = reply;
        if (response.status >= 400) {
          await response.body?.cancel();
          throw this.#refused(reply, source);
        }
        const text = await textOf(response, url, this.signal);
        try {
          return { json: JSON.parse(text), headers: response.headers };
        } catch {
          throw this.#odd("the answer", "JSON (is HF_ENDPOINT a hub's address?)", text);
        }
      },
      this.patience,
      this.signal,
    );
  }

  async #send(url: string, request: Partial<Request>): Promise<Reply> {
    const { signal, settings: { endpoint, token } } = this;
    try {
      const reply = await send(url, { endpoint, token, signal, client: this.#http, ...request });
      this.#wasReached = true;
      return reply;
    } catch (error) {
      if (!(error instanceof Transient) || this.#wasReached) throw error;
      // Without a network nobody should wait for long.
      const hint = "is there a network, a proxy for HTTPS_PROXY, the right HF_ENDPOINT?";
      throw new Transient(`${error.message} (${hint})`, undefined, FIRST_TRIES);
    }
  }

  /** What a status above 399 is: something that passes, or a sentence with the cure. */
  #refused({ response, url }: Reply, source: Source): Error {
    const { status, headers } = response;
    const { endpoint, token } = this.settings;
    if (passesByItself(status)) {
      return new Transient(`${hostOf(url)} answered ${status}`, retryAfter(headers));
    }
    return refusal({ status, headers, source, endpoint, hasToken: token !== undefined });
  }

  #odd(what: string, expected: string, found: unknown): HubError {
    const { endpoint } = this.settings;
    return new HubError(`${endpoint}: ${what} should be ${expected}, found ${quote(found)}.`);
  }
}

/** The values of `key` in a list of objects; undefined when it is no such list. */
function namesIn(list: unknown, key: string): Set<string> | undefined {
  if (!Array.isArray(list)) return undefined;
  const names = list.map((entry) => (Object(entry) as Record<string, unknown>)[key]);
  return new Set(names.filter((name) => typeof name === "string"));
}

async function textOf(response: Response, url: string, signal: AbortSignal): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of piecesOf(response, url, signal)) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > LARGEST_ANSWER) break;
  }
  return text + decoder.decode();
}
