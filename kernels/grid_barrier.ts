/**
 * A barrier for all workgroups of one dispatch, as WGSL text, and the buffer that they meet at.
 *
 * Knows counting and giving up; it is no kernel. WebGPU promises nothing about workgroups running
 * at the same time: whoever uses this asks for no more of them than were seen to do so, and looks
 * at `broken` afterwards.
 */
import { storageBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/device.ts";

/** More workgroups than any GPU runs at once. */
export const MOST_WORKGROUPS = 4096;

/**
 * `meet(thread, workgroups)`: what any workgroup wrote to buffers before it, all may read after it.
 * The kernel declares `meeting: Meeting`, makes the buffers that carry such data `@coherent`, and
 * calls `arrive(group, thread)` first and `leave(group, thread)` last.
 */
export const GRID_BARRIER = `
struct Meeting {
  arrivals: atomic<u32>, // counts up until the host clears it
  broken: atomic<u32>,   // not 0 once somebody waited in vain: nothing computed since holds
  patience: u32,         // looks at the count before giving up
  unused: u32,
  passed: array<u32>,    // (workgroups): meetings since the host cleared them
}

// Thread 0 alone knows; a workgroup keeps its own count, so that none has to wait for its arrival.
var<private> met: u32;

fn arrive(group: u32, thread: u32) {
  if (thread == 0u) {
    met = meeting.passed[group];
  }
}

fn leave(group: u32, thread: u32) {
  if (thread == 0u) {
    meeting.passed[group] = met;
  }
}

fn meet(thread: u32, workgroups: u32) {
  storageBarrier();
  if (thread == 0u) {
    atomicAdd(&meeting.arrivals, 1u);
    met += 1u;
    var looks = 0u;
    while (atomicLoad(&meeting.arrivals) < met * workgroups) {
      looks += 1u;
      if (looks > meeting.patience || (looks % 64u == 0u && atomicLoad(&meeting.broken) != 0u)) {
        atomicStore(&meeting.broken, 1u);
        break;
      }
    }
  }
  storageBarrier();
}
`;

/** Where the workgroups of a dispatch meet. */
export class MeetingPoint {
  readonly buffer: GPUBuffer; // arrivals, broken, patience, unused, (workgroups) passed
  /** Byte of the word that is not 0 once somebody waited in vain. */
  readonly brokenAt = 4;

  constructor(private readonly gpu: Gpu) {
    this.buffer = storageBuffer(gpu, "meeting point", 16 + MOST_WORKGROUPS * 4);
  }

  /** From the next submit on `workgroups` have met nowhere, and each waits for so many looks. */
  clear(workgroups: number, patience: number): void {
    const words = new Uint32Array(4 + workgroups);
    words[2] = patience;
    this.gpu.device.queue.writeBuffer(this.buffer, 0, words);
  }
}
