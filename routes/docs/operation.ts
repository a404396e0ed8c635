/**
 * What the document says of one route.
 *
 * Knows the form of an entry in the tables beside this file. Knows neither OpenAPI nor a route.
 */
import type { z } from "zod";

/** The API that a route belongs to, which is also a heading. */
export type Tag = "Dialogues" | "OpenAI" | "Text Generation Inference" | "KoboldAI" | "Server";

export interface Operation {
  method: "get" | "post";
  /** With `{name}` for each of `params`. */
  path: string;
  /** Parameters in the path: a value for each that works. */
  params?: Readonly<Record<string, string>>;
  tag: Tag;
  summary: string;
  /** Checks the request's body; absent if there is none. */
  body?: z.ZodType;
  /** The body may be left out. */
  optionalBody?: true;
  /** A body that works. */
  example?: object;
  /** The JSON of a whole answer, the data of each event, or the type of something else. */
  answer?: z.ZodType;
  events?: z.ZodType;
  otherType?: string;
  /** Answers without a key, where keys are asked for. */
  open?: true;
}

/** Schemas with a name of their own in the document, by that name. */
export type NamedSchemas = Readonly<Record<string, z.ZodType>>;
