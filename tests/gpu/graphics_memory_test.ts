/** Memory of graphics cards: NVIDIA's words, and the files of Linux's AMD driver. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { findGraphicsMemory, parseNvidiaSmi, totalOf } from "../../gpu/graphics_memory.ts";

Deno.test("nvidia-smi gives a line a card", () => {
  const text = "NVIDIA H200, 143771, 143159\nNVIDIA GeForce RTX 3060, 12288, 11000\n";
  assert.deepEqual(parseNvidiaSmi(text), [
    { card: "NVIDIA H200", totalBytes: 150754820096, freeBytes: 150113091584 },
    { card: "NVIDIA GeForce RTX 3060", totalBytes: 12884901888, freeBytes: 11534336000 },
  ]);
  for (const none of ["", "No devices were found\n", "NVIDIA X, [N/A], [N/A]\n"]) {
    assert.deepEqual(parseNvidiaSmi(none), []);
  }
});

Deno.test("AMD cards are found in sysfs, their outputs are no cards", async () => {
  const root = await Deno.makeTempDir();
  try {
    const put = (card: string, file: string, text: string) => {
      const folder = join(root, "sys/class/drm", card, "device");
      Deno.mkdirSync(folder, { recursive: true });
      Deno.writeTextFileSync(join(folder, file), text);
    };
    put("card1", "mem_info_vram_total", "17163091968\n");
    put("card1", "mem_info_vram_used", "163091968\n");
    put("card1-DP-1", "mem_info_vram_total", "1\n");
    put("card0", "vendor", "0x8086\n");
    const cards = (await findGraphicsMemory(root)).filter(({ card }) => card.startsWith("card"));
    assert.deepEqual(cards, [{ card: "card1", totalBytes: 17163091968, freeBytes: 17e9 }]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("an adapter's memory is that of the card with its name, or of the smallest that it may be", () => {
  const card = (name: string, gigabytes: number) => ({
    card: name,
    totalBytes: gigabytes * 1e9,
    freeBytes: 0,
  });
  const cards = [card("NVIDIA H200", 141), card("NVIDIA GeForce RTX 3060", 12), card("card1", 16)];
  assert.equal(totalOf("NVIDIA H200", cards), 141e9);
  assert.equal(totalOf("NVIDIA GeForce RTX 3060", cards), 12e9);
  assert.equal(totalOf("AMD Radeon RX 7800 XT (RADV NAVI32)", [...cards, card("card2", 8)]), 8e9);
  assert.equal(totalOf("Intel(R) UHD Graphics 770", cards), undefined);
  assert.equal(totalOf("NVIDIA H200", []), undefined);
});
