/**
 * Reads server-sent events out of a response's body: EventSource itself cannot send a POST.
 *
 * Knows the wire format (any line ending, comments, several data lines) and no event's meaning.
 */

/**
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<{ event: string, data: string }>}
 */
export async function* readEvents(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let event = "";
  /** @type {string[]} */
  let data = [];
  try {
    while (true) {
      const { done, value } = await reader.read();
      rest += decoder.decode(value, { stream: !done });
      // A CR at the very end may be half of a CRLF.
      const lines = rest.split(done ? /\r\n|\n|\r/ : /\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { event: event || "message", data: data.join("\n") };
          event = "";
          data = [];
          continue;
        }
        const [, name, text] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
        if (name === "event") event = text ?? "";
        if (name === "data") data.push(text ?? "");
      }
      if (done) return;
    }
  } finally {
    // Also when the caller leaves early: the server then stops working for nobody.
    await reader.cancel().catch(() => {});
  }
}
