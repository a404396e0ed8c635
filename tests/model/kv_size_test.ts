/** How large the KV cache is where nobody says: against what Falcon-7B takes, by hand. */
import assert from "node:assert/strict";
import type { FalconConfig } from "../../model/config.ts";
import { defaultKvBytes } from "../../model/kv_size.ts";

const FALCON = { layers: 32, headDim: 64 } as FalconConfig;
/** Keys and values of 2048 tokens, 8 KiB each. */
const DIALOGUE = 16 * 2 ** 20;

const ROOM = {
  slots: 128,
  maxPositions: 2048,
  cardBytes: undefined,
  takenBytes: 4.2e9,
  maxBindingBytes: 2 ** 32 - 4,
  software: false,
};

/** Whole dialogues of 2048 tokens. */
function dialogues(changes: Partial<Parameters<typeof defaultKvBytes>[1]>): number {
  return Math.floor(defaultKvBytes(FALCON, { ...ROOM, ...changes }) / DIALOGUE);
}

Deno.test("on a card whose size is known, what weights leave of 85 %, up to 2 GiB", () => {
  assert.equal(dialogues({ cardBytes: 6e9 }), 53); // (5.1 - 4.2) GB
  assert.equal(dialogues({ cardBytes: 24e9 }), 128);
  assert.equal(dialogues({ cardBytes: 141e9 }), 128);
  assert.equal(dialogues({ cardBytes: 141e9, slots: 1000 }), 128);
});

Deno.test("on one whose size nobody tells, 1 GiB", () => {
  assert.equal(dialogues({}), 64);
});

Deno.test("no more than the slots can fill, or than one binding shows", () => {
  assert.equal(dialogues({ slots: 3 }), 3);
  assert.equal(dialogues({ cardBytes: 24e9, maxBindingBytes: 2 ** 27 }), 8);
});

Deno.test("at least one dialogue, and on a CPU no more", () => {
  assert.equal(dialogues({ cardBytes: 4e9 }), 1);
  assert.equal(dialogues({ cardBytes: 4e9, maxBindingBytes: 2 ** 20 }), 1);
  assert.equal(dialogues({ cardBytes: 141e9, software: true }), 1);
});
