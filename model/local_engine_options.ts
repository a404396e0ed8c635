/**
 * What the engine of this machine's GPU is told when it starts.
 *
 * Knows names and meanings. Knows not what is done about them.
 */
import type { Fault } from "./fault.ts";
import type { LoadOptions } from "./messages.ts";

export interface LocalEngineOptions extends Omit<LoadOptions, "fault"> {
  /** Requests that may wait for their turn; one more is refused as "busy". */
  queueLimit: number;
  /** Seconds that a request may wait for its turn; then it is refused as "busy". Default: no end. */
  queueSeconds?: number;
  /** Events of an answer that may lie unread; one more ends it. Default: more than Falcon gives. */
  unreadEvents?: number;
  /** How often a worker that failed is followed by another one. Default: never. */
  restarts?: number;
  /** For tests. */
  fault?: Fault;
  onProgress?: (progress: { stage: string; done: number; total: number }) => void;
  /** Told why the worker is started again, and that it is there again. */
  onNote?: (sentence: string) => void;
}
