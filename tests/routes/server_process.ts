/**
 * A server as a process of its own: what it is told, what it says, and how it ends.
 *
 * Knows that it must not outlive its test. Knows no route and no flag.
 */
import assert from "node:assert/strict";

export class ServerProcess implements AsyncDisposable {
  stdout = "";
  stderr = "";
  readonly #process: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #read: Promise<void[]>;
  #ended = false;
  #heard = () => {};

  /**
   * @param args what the program gets after its rights
   * @param rights Deno's command and what it may do
   * @param program instead of Deno
   */
  constructor(
    args: string[],
    env: Record<string, string> = {},
    rights = ["run", "-A"],
    program = Deno.execPath(),
  ) {
    this.#process = new Deno.Command(program, {
      args: [...rights, ...args],
      env: { NO_COLOR: "1", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdin = this.#process.stdin.getWriter();
    this.#read = Promise.all([
      this.#collect(this.#process.stderr, (text) => this.stderr += text),
      this.#collect(this.#process.stdout, (text) => this.stdout += text),
    ]);
    this.#read.then(() => {
      this.#ended = true;
      this.#heard();
    });
  }

  async #collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>, add: (text: string) => void) {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      add(text);
      this.#heard();
    }
  }

  /** Waits until standard error matches. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stderr);
      if (match) return match;
      assert.ok(!this.#ended, `it ended before it said ${pattern}: ${this.stderr}`);
      await new Promise<void>((resolve) => this.#heard = resolve);
    }
  }

  /** Waits until it listens; its URL. */
  async url(): Promise<string> {
    return (await this.says(/Listening on (\S+);/))[1]!;
  }

  /** Writes a line to its standard input. */
  async tell(line: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(`${line}\n`));
  }

  get pid(): number {
    return this.#process.pid;
  }

  signal(signal: Deno.Signal): void {
    this.#process.kill(signal);
  }

  /** Waits until it ends by itself; its exit code. */
  async exit(): Promise<number> {
    const { code } = await this.#process.status;
    await this.#read;
    await this.#stdin.close().catch(() => {});
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended, as it should.
    }
    await this.exit();
  }
}
