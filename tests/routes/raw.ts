/** HTTP by hand, for what no client sends or what must be sent byte for byte. */

/**
 * Sends the parts over a raw connection and returns all that comes back until it is closed.
 *
 * @param leave whether to hang up after sending
 */
export async function raw(port: number, parts: string[], leave = false): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const encoder = new TextEncoder();
  try {
    for (const part of parts) await connection.write(encoder.encode(part));
    if (leave) return "";
    await connection.closeWrite();
  } catch {
    // The server may have closed its side by now; what it said still counts.
  }
  let text = "";
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(65536);
  for (;;) {
    const read = await connection.read(buffer).catch(() => null);
    if (read === null) return text;
    text += decoder.decode(buffer.subarray(0, read), { stream: true });
  }
}

/** The head of a POST of JSON, with more header lines. */
export function head(path: string, lines: string): string {
  return `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
    `Connection: close\r\n${lines}\r\n\r\n`;
}

/** The status of a raw answer; NaN if there is none. */
export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.[01] (\d{3}) /.exec(answer)?.[1]);
}
