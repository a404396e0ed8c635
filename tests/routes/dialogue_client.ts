/** What tests of Claire's own routes share: a dialogue, and its event stream read by its names. */
import assert from "node:assert/strict";
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { Turn } from "../../model/prompt.ts";

/** The natural call: three fields. */
export const CALL = {
  turns: [{ speaker: "Camille", text: "Ça va ?" }],
  format: "named",
  next: "Dominique",
};

export interface NamedEvent {
  event: string;
  // deno-lint-ignore no-explicit-any
  data: any;
}

export async function readNamed(response: Response): Promise<NamedEvent[]> {
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  const events: NamedEvent[] = [];
  const stream = response.body!
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const { event, data } of stream) {
    assert.notEqual(event, undefined);
    events.push({ event: event!, data: JSON.parse(data) });
  }
  return events;
}

/** The turns that a stream's events tell; fails if they are out of order. */
export function turnsOf(events: readonly NamedEvent[]): Turn[] {
  const turns: Turn[] = [];
  let speaker: string | undefined;
  for (const { event, data } of events) {
    if (event === "turn_start") {
      assert.equal(speaker, undefined);
      turns.push({ speaker: speaker = data.speaker, text: "" });
    } else if (event === "text") {
      assert.equal(data.speaker, speaker);
      turns.at(-1)!.text += data.delta;
    } else if (event === "turn_end") {
      assert.equal(data.speaker, speaker);
      speaker = undefined;
    }
  }
  return turns;
}
