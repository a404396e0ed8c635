/**
 * A hub of our own on loopback, for the pull tests: the routes that Hugging Face's clients use, a
 * second host for large files as its CDN is one, and whatever goes wrong with either, on demand.
 *
 * Shares no code with the program. `python_client.ts` holds it against the real client.
 */
import { createHash } from "node:crypto";

export interface MockFile {
  bytes: Uint8Array;
  /** Whether it is kept outside git and served by the other host. */
  lfs: boolean;
}

/** By branch, then by name. */
export type Branches = Record<string, Record<string, MockFile>>;

/** What happens to a request instead of, or on the way to, an answer. */
export type Fault = (request: Seen) => Response | { cutAfter: number } | undefined;

export interface Seen {
  method: string;
  host: "hub" | "cdn";
  path: string;
  /** The file's name, for requests of a file. */
  file: string | undefined;
  range: string | null;
  authorization: string | null;
}

export interface MockHubOptions {
  repo?: string;
  branches: Branches;
  /** Without it everything is public. */
  token?: string;
  gated?: boolean;
  /** Whether the hosts answer ranges. */
  ranges?: boolean;
  /** Without it the files are listed by the other route alone, so many a page. */
  pageFiles?: number;
  /** Bytes of a response's piece. Default: 16 KiB. */
  pieceBytes?: number;
  fault?: Fault;
  /** Called before each piece of a body is sent. */
  onPiece?(seen: Seen): Promise<void> | void;
  /** Changes the headers of an answer that has them. */
  headers?(seen: Seen, headers: Headers): void;
}

export const REPO = "TheBloke/Claire-7B-0.1-GPTQ";

export class MockHub implements AsyncDisposable {
  /** Every request, in order. */
  readonly seen: Seen[] = [];
  fault: Fault | undefined;
  onPiece: MockHubOptions["onPiece"];
  readonly #hub: Deno.HttpServer<Deno.NetAddr>;
  readonly #cdn: Deno.HttpServer<Deno.NetAddr>;
  readonly #options: MockHubOptions;

  constructor(options: MockHubOptions) {
    this.#options = options;
    this.fault = options.fault;
    this.onPiece = options.onPiece;
    const listen = (host: "hub" | "cdn") =>
      Deno.serve(
        {
          hostname: "127.0.0.1",
          port: 0,
          onListen() {},
          onError: () => new Response(null, { status: 500 }),
        },
        (request) => this.#answer(host, request),
      );
    this.#hub = listen("hub");
    this.#cdn = listen("cdn");
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#hub.addr.port}`;
  }

  /** The requests of a file's content, in order. */
  downloadsOf(file: string): Seen[] {
    return this.seen.filter((seen) => seen.file === file && seen.method === "GET");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#hub.shutdown(), this.#cdn.shutdown()]);
  }

  async #answer(host: "hub" | "cdn", request: Request): Promise<Response> {
    const url = new URL(request.url);
    const path = decodeURIComponent(url.pathname);
    const { repo = REPO } = this.#options;
    const [, revision, name] = path.startsWith(`/${repo}/resolve/`)
      ? /^\/([^/]+)\/(.+)$/.exec(path.slice(`/${repo}/resolve`.length))!
      : path.startsWith("/cdn/")
      ? /^\/cdn\/([^/]+)\/(.+)$/.exec(path)!
      : [];
    const seen: Seen = {
      method: request.method,
      host,
      path,
      file: name,
      range: request.headers.get("range"),
      authorization: request.headers.get("authorization"),
    };
    this.seen.push(seen);
    const fault = this.fault?.(seen);
    if (fault instanceof Response) return fault;
    const cutAfter = fault?.cutAfter ?? Infinity;
    if (host === "hub") {
      const refused = this.#refuse(seen);
      if (refused) return refused;
      const list = this.#list(repo, path, url);
      if (list) return list;
    }
    if (name === undefined) return problem(404, "RepoNotFound");
    const branch = this.#branchOf(revision!);
    if (branch === undefined) return problem(404, "RevisionNotFound");
    const file = this.#options.branches[branch]![name];
    if (file === undefined) return problem(404, "EntryNotFound");
    return await this.#send(seen, file, commitOf(branch), cutAfter);
  }

  #refuse({ authorization }: Seen): Response | undefined {
    const { token, gated } = this.#options;
    if (token === undefined || authorization === `Bearer ${token}`) return undefined;
    if (gated) return problem(authorization === null ? 401 : 403, "GatedRepo");
    return problem(401, authorization === null ? "RepoNotFound" : undefined);
  }

  /** What the repository holds: the routes of the old and of the new Python client. */
  #list(repo: string, path: string, url: URL): Response | undefined {
    if (!path.startsWith("/api/models/")) return undefined;
    const api = path.slice("/api/models/".length);
    if (api !== repo && !api.startsWith(`${repo}/`)) return problem(404, "RepoNotFound");
    const [, route, revision] = /^\/(revision|tree)\/(.+)$/.exec(api.slice(repo.length)) ?? [];
    const branch = this.#branchOf(revision ?? "main");
    if (branch === undefined) return problem(404, "RevisionNotFound");
    const files = Object.entries(this.#options.branches[branch]!);
    const { pageFiles } = this.#options;
    if (route === "tree") {
      const start = Number(url.searchParams.get("cursor") ?? 0);
      const end = start + (pageFiles ?? files.length);
      url.searchParams.set("cursor", `${end}`);
      const headers: HeadersInit = end < files.length ? { link: `<${url}>; rel="next"` } : {};
      return Response.json(
        files.slice(start, end).map(([path, { bytes, lfs }]) => ({
          type: "file",
          oid: gitSha1(bytes),
          size: bytes.length,
          path,
          ...lfs && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 } },
        })),
        { headers },
      );
    }
    return Response.json({
      id: repo,
      modelId: repo,
      private: false,
      gated: false,
      disabled: false,
      downloads: 0,
      likes: 0,
      tags: [],
      sha: commitOf(branch),
      ...pageFiles === undefined && { siblings: files.map(([rfilename]) => ({ rfilename })) },
    });
  }

  /** The branch of that name or commit. */
  #branchOf(revision: string): string | undefined {
    return Object.keys(this.#options.branches).find((branch) =>
      branch === revision || commitOf(branch) === revision
    );
  }

  #send(seen: Seen, file: MockFile, commit: string, cutAfter: number): Response {
    const headers = new Headers();
    if (seen.host === "hub") {
      headers.set("x-repo-commit", commit);
      if (file.lfs) {
        headers.set("x-linked-etag", `"${sha256(file.bytes)}"`);
        headers.set("x-linked-size", `${file.bytes.length}`);
        const at = `http://localhost:${this.#cdn.addr.port}/cdn/${commit}/${seen.file}`;
        headers.set("location", `${at}?signature=secret`);
        this.#options.headers?.(seen, headers);
        return new Response(null, { status: 302, headers });
      }
      headers.set("etag", `"${gitSha1(file.bytes)}"`);
    } else headers.set("etag", `"${"c".repeat(32)}-3"`); // a storage host's own
    const total = file.bytes.length;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(seen.range ?? "") ?? [];
    const isRange = from !== undefined && (this.#options.ranges ?? true);
    const [start, end] = isRange ? [Number(from), Number(to) + 1] : [0, total];
    if (start >= total && total > 0 || end > total) return new Response(null, { status: 416 });
    if (isRange) headers.set("content-range", `bytes ${start}-${end - 1}/${total}`);
    headers.set("content-length", `${end - start}`);
    this.#options.headers?.(seen, headers);
    const body = seen.method === "HEAD" ? null : this.#body(seen, file.bytes, start, end, cutAfter);
    return new Response(body, { status: isRange ? 206 : 200, headers });
  }

  #body(
    seen: Seen,
    bytes: Uint8Array,
    start: number,
    end: number,
    cutAfter: number,
  ): ReadableStream<Uint8Array> {
    const { pieceBytes = 16384 } = this.#options;
    let at = start;
    return new ReadableStream({
      pull: async (controller) => {
        await this.onPiece?.(seen);
        if (at - start >= cutAfter) return controller.error(new Error("cut"));
        const next = Math.min(at + pieceBytes, end, start + cutAfter);
        controller.enqueue(bytes.subarray(at, next));
        at = next;
        if (at === end) controller.close();
      },
    });
  }
}

/** A commit that depends on the branch alone. */
export function commitOf(branch: string): string {
  return createHash("sha1").update(`commit of ${branch}`).digest("hex");
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** As `git hash-object` computes it. */
export function gitSha1(bytes: Uint8Array): string {
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}

function problem(status: number, code: string | undefined): Response {
  return Response.json({ error: "no" }, {
    status,
    headers: code === undefined ? {} : { "x-error-code": code },
  });
}
