/**
 * How much memory graphics cards have, which WebGPU does not tell.
 *
 * Knows NVIDIA's tool and the files in which Linux's AMD driver says it. Knows no adapter.
 */
import { join } from "node:path";

export interface GraphicsMemory {
  card: string;
  totalBytes: number;
  freeBytes: number;
}

const QUERY = ["--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"];

/** @param root stands before every system path; only tests give one */
export async function findGraphicsMemory(root = ""): Promise<GraphicsMemory[]> {
  return [...parseNvidiaSmi(await nvidiaSmi()), ...await amdCards(`${root}/sys/class/drm`)];
}

/**
 * Memory in all of the card that an adapter is on; of several that may be meant, the smallest one's.
 *
 * @param adapter its name as the driver tells it, which is the card's own for NVIDIA's
 */
export function totalOf(adapter: string, cards: readonly GraphicsMemory[]): number | undefined {
  const isAmd = /\b(AMD|Radeon)\b/i.test(adapter);
  const totals = cards.flatMap(({ card, totalBytes }) =>
    (/^card\d+$/.test(card) ? isAmd : adapter.includes(card)) ? [totalBytes] : []
  );
  return totals.length > 0 ? Math.min(...totals) : undefined;
}

/** Reads lines such as "NVIDIA H200, 143771, 143159": MiB in all, and free. */
export function parseNvidiaSmi(text: string): GraphicsMemory[] {
  return text.split("\n").flatMap((line) => {
    const [, card, total, free] = /^(.+), (\d+), (\d+)$/.exec(line.trim()) ?? [];
    if (card === undefined) return [];
    return { card, totalBytes: Number(total) * 2 ** 20, freeBytes: Number(free) * 2 ** 20 };
  });
}

/** What the tool prints; nothing where it is not, or finds no card. */
async function nvidiaSmi(): Promise<string> {
  try {
    const command = new Deno.Command("nvidia-smi", { args: QUERY, stderr: "null" });
    const { success, stdout } = await command.output();
    return success ? new TextDecoder().decode(stdout) : "";
  } catch {
    return "";
  }
}

async function amdCards(folder: string): Promise<GraphicsMemory[]> {
  const cards: GraphicsMemory[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      if (!/^card\d+$/.test(name)) continue;
      const read = (file: string) => numberIn(join(folder, name, "device", file));
      const totalBytes = await read("mem_info_vram_total");
      const used = await read("mem_info_vram_used");
      if (totalBytes) cards.push({ card: name, totalBytes, freeBytes: totalBytes - (used ?? 0) });
    }
  } catch {
    // No such folder: no card.
  }
  return cards.sort((a, b) => a.card.localeCompare(b.card));
}

async function numberIn(path: string): Promise<number | undefined> {
  try {
    return Number(await Deno.readTextFile(path)) || undefined;
  } catch {
    return undefined;
  }
}
