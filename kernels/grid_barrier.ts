/**
 * A barrier for all workgroups of one dispatch, as WGSL text, and the buffer that they meet at.
 *
 * Knows counting and giving up; it is no kernel. WebGPU promises nothing about workgroups running
 * at the same time: whoever uses this asks for no more of them than were seen to do so, and looks
 * at `broken` afterwards.
 */
import { storageBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/device.ts";
import { readOnce } from "../gpu/readback.ts";

/** More workgroups than any GPU runs at once. */
export const MOST_WORKGROUPS = 4096;

/**
 * How workgroups learn of each other: from one counter that all add to and look at; from a word that
 * the last to come writes, looked at instead of the counter; or from a flag a workgroup, each looked
 * at by a thread of its own.
 */
export type BarrierKind = "counter" | "release" | "flags";

/** Threads of each workgroup that wait for the others, in whole subgroups. */
export function waiters(kind: BarrierKind, workgroups: number, width: number, threads: number) {
  const looking = kind === "flags" ? Math.ceil(workgroups / width) * width : width;
  return Math.min(looking, threads - width);
}

/** First word of each part of the buffer: each has a line of 128 bytes of its own. */
const AT = { broken: 0, patience: 1, arrivals: 32, released: 64, passed: 96 };

/**
 * What any workgroup wrote to buffers before `report(group, thread, workgroups)`, all may read after
 * `wait(thread, workgroups)`; what lies between depends on nobody. The kernel declares
 * `meeting: Meeting` and THREADS, makes the buffers that carry such data `@coherent`, and calls
 * `arrive(group)` first and `leave(group, thread)` last.
 *
 * @param end whether a meeting's last barrier is one for storage, or for workgroup memory alone:
 * what is coherent is fetched anew in any case
 */
export function gridBarrier(kind: BarrierKind, end: "storage" | "workgroup"): string {
  return `
struct Meeting {
  broken: atomic<u32>,   // not 0 once somebody waited in vain: nothing computed since holds
  patience: u32,         // looks at a word before giving up
  touched: atomic<u32>,  // means nothing
  unused: array<u32, 29>,
  arrivals: atomic<u32>, // of all workgroups, at all meetings since the host cleared it
  unused_too: array<u32, 31>,
  released: atomic<u32>, // meetings that all have come to
  unused_again: array<u32, 31>,
  passed: array<atomic<u32>>, // (workgroups): meetings since the host cleared them
}

// A workgroup keeps its own count, so that none has to wait for the arrival of others.
var<private> met: u32;

fn arrive(group: u32) {
  met = atomicLoad(&meeting.passed[group]);
}

fn leave(group: u32, thread: u32) {
  if (thread == 0u) {
    atomicStore(&meeting.passed[group], met);
  }
}

fn report(group: u32, thread: u32, workgroups: u32) {
  storageBarrier();
  met += 1u;
  if (thread == 0u) {
    ${REPORT[kind]}
  }
}

fn wait(thread: u32, workgroups: u32) {
  ${WAIT[kind]}
  ${end}Barrier();
}
`;
}

const REPORT: Record<BarrierKind, string> = {
  counter: "atomicAdd(&meeting.arrivals, 1u);",
  release: `if (atomicAdd(&meeting.arrivals, 1u) + 1u == met * workgroups) {
      atomicStore(&meeting.released, met);
    }`,
  flags: "atomicStore(&meeting.passed[group], met);",
};

const WAIT: Record<BarrierKind, string> = {
  counter: `if (thread == 0u) {
    ${until("atomicLoad(&meeting.arrivals) >= met * workgroups")}
  }`,
  release: `if (thread == 0u) {
    ${until("atomicLoad(&meeting.released) >= met")}
  }`,
  flags: `for (var i = thread; i < workgroups; i += THREADS) {
    ${until("atomicLoad(&meeting.passed[i]) >= met")}
  }`,
};

function until(reached: string): string {
  return `var looks = 0u;
    while (!(${reached})) {
      looks += 1u;
      if (looks > meeting.patience || (looks % 64u == 0u && atomicLoad(&meeting.broken) != 0u)) {
        atomicStore(&meeting.broken, 1u);
        break;
      }
    }`;
}

/** Where the workgroups of a dispatch meet. */
export class MeetingPoint {
  readonly buffer: GPUBuffer; // see the WGSL
  /** Byte of the word that is not 0 once somebody waited in vain. */
  readonly brokenAt = AT.broken * 4;

  constructor(private readonly gpu: Gpu) {
    this.buffer = storageBuffer(gpu, "meeting point", (AT.passed + MOST_WORKGROUPS) * 4);
  }

  /** From the next submit on `workgroups` have met nowhere, and each waits for so many looks. */
  clear(workgroups: number, patience: number): void {
    const words = new Uint32Array(AT.passed + workgroups);
    words[AT.patience] = patience;
    this.gpu.device.queue.writeBuffer(this.buffer, 0, words);
  }

  /** Whether each of so many workgroups has been at so many meetings since, none in vain. */
  async allMet(workgroups: number, times: number): Promise<boolean> {
    const bytes = (AT.passed + workgroups) * 4;
    const words = new Uint32Array(await readOnce(this.gpu, this.buffer, bytes));
    return words[AT.broken] === 0 && words.subarray(AT.passed).every((met) => met === times);
  }
}
