/** The schemas of Claire's own routes, as documentation and against what the routes answer. */
import assert from "node:assert/strict";
import { z } from "zod";
import * as schemas from "../../routes/dialogue_schema.ts";
import { CALL, readNamed } from "./dialogue_client.ts";
import { testApp } from "./helpers.ts";

/** A schema as it is published, under its name. */
function published(schema: z.ZodType): z.core.JSONSchema.JSONSchema {
  const { $ref, $defs } = z.toJSONSchema(schema, { io: "input" });
  return $defs![$ref!.replace("#/$defs/", "")]!;
}

Deno.test("every field of a request says what it is for, and defaults are told", () => {
  for (const schema of [schemas.dialogueRequest, schemas.promptRequest, schemas.parseRequest]) {
    const { properties, title } = published(schema);
    assert.ok(title);
    for (const [name, property] of Object.entries(properties!)) {
      assert.ok(typeof property === "object" && property.description, name);
    }
  }
  const { properties } = published(schemas.dialogueRequest);
  const defaults = Object.entries(properties!).flatMap(([name, property]) => {
    const { default: value } = property as { default?: unknown };
    return value === undefined ? [] : [[name, value]];
  });
  assert.deepEqual(Object.fromEntries(defaults), {
    normalise: true,
    asr: false,
    max_tokens: 200,
    temperature: 1,
    top_p: 0.99,
    top_k: 10,
    min_p: 0,
    typical_p: 1,
    repetition_penalty: 1.1,
    tidy: true,
    stream: false,
  });
});

Deno.test("answers and events are what their schemas say, and nothing more", async () => {
  const { post } = testApp();
  const json = async (path: string, body: object) => await (await post(path, body)).json();
  const strict = (schema: z.ZodObject) => schema.strict();
  strict(schemas.dialogueAnswer).parse(await json("/v1/dialogues", CALL));
  strict(schemas.promptAnswer).parse(await json("/v1/prompts", CALL));
  strict(schemas.parseAnswer).parse(await json("/v1/prompts/parse", { prompt: "- a\n-" }));
  const events = await readNamed(await post("/v1/dialogues", { ...CALL, stream: true }));
  for (const { event, data } of events) {
    strict(schemas.dialogueEvents[event as keyof typeof schemas.dialogueEvents]).parse(data);
  }
  assert.deepEqual([...new Set(events.map(({ event }) => event))], [
    "turn_start",
    "text",
    "turn_end",
    "done",
  ]);
});
