/**
 * What is counted of requests over HTTP: how they were answered, and why some were refused.
 *
 * Knows the line that each request leaves in the log. A route there is one that is registered, so
 * that no client can make up labels. Knows nothing of how an answer is made.
 */
import { Counter, type Registry } from "prom-client";
import type { RequestLogLine } from "../request_log.ts";
import type { AnswerMetrics } from "./answers.ts";

/** Errors of answers that were let in, which are no refusals. */
const LET_IN = ["cancelled", "generation", "internal"];

export class RequestMetrics {
  readonly #answered: Counter<"route" | "status">;
  readonly #refused: Counter<"reason">;

  constructor(registry: Registry, private readonly answers: AnswerMetrics) {
    const registers = [registry];
    this.#answered = new Counter({
      name: "clairon_http_requests_total",
      help: "Requests, by route and status; 499 where the client left before the answer.",
      labelNames: ["route", "status"],
      registers,
    });
    this.#refused = new Counter({
      name: "clairon_rejects_total",
      help: "Requests that were refused, by the error's type.",
      labelNames: ["reason"],
      registers,
    });
    for (const reason of ["overloaded", "validation", "loading", "unavailable", "draining"]) {
      this.#refused.inc({ reason }, 0);
    }
  }

  add({ route, status, error }: RequestLogLine): void {
    this.#answered.inc({ route, status });
    if (error === undefined || status < 400 || LET_IN.includes(error)) return;
    this.#refused.inc({ reason: error });
    // As in TGI, where such a request counts though no engine hears of it.
    if (error === "validation") {
      this.answers.count.inc();
      this.answers.failure.inc({ err: error });
    }
  }
}
