/**
 * The OpenAPI document of all routes, from the schemas that check their requests.
 *
 * Knows OpenAPI 3.1, whose schemas are JSON Schema. A new API adds a table of operations to
 * OPERATIONS, its named schemas to REQUESTS and ANSWERS, and its errors to ERRORS.
 */
import { z } from "zod";
import { VERSION } from "../version.ts";
import { dialogueAnswers, dialogueOperations, dialogueRequests } from "./dialogue.ts";
import { koboldAnswers, koboldOperations, koboldRequests } from "./kobold.ts";
import { openAiAnswers, openAiError, openAiOperations, openAiRequests } from "./openai.ts";
import type { NamedSchemas, Operation, Tag } from "./operation.ts";
import { serverAnswers, serverOperations } from "./server.ts";
import { tgiAnswers, tgiOperations, tgiRequests } from "./tgi.ts";

export const OPERATIONS: readonly Operation[] = [
  ...dialogueOperations,
  ...openAiOperations,
  ...tgiOperations,
  ...koboldOperations,
  ...serverOperations,
];

const REQUESTS: NamedSchemas = {
  ...dialogueRequests,
  ...openAiRequests,
  ...tgiRequests,
  ...koboldRequests,
};

const error = z.object({ error: z.string(), error_type: z.string() });
const koboldError = z.object({
  detail: z.union([
    z.object({ msg: z.string(), type: z.string() }),
    z.record(z.string(), z.array(z.string())).describe("what is wrong with a field"),
  ]),
});

const ANSWERS: NamedSchemas = {
  ...dialogueAnswers,
  ...openAiAnswers,
  ...tgiAnswers,
  ...koboldAnswers,
  ...serverAnswers,
  Error: error,
  KoboldError: koboldError,
};

const ERRORS: Record<Tag, z.ZodType> = {
  "Dialogues": error,
  "OpenAI": openAiError,
  "Text Generation Inference": error,
  "KoboldAI": koboldError,
  "Server": error,
};

/** JSON Schema, or a part of the document. */
export type Json = Record<string, unknown>;

export interface OpenApiDocument extends Json {
  tags: { name: Tag }[];
  paths: Record<string, Record<string, Json>>;
  components: { schemas: Record<string, Json>; securitySchemes: Json };
}

export function openApiDocument(): OpenApiDocument {
  const requests = new Schemas(REQUESTS, "input");
  const answers = new Schemas(ANSWERS, "output");
  const paths: OpenApiDocument["paths"] = {};
  for (const operation of OPERATIONS) {
    const path = paths[operation.path] ??= {};
    path[operation.method] = describe(operation, requests, answers);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Clairon",
      version: VERSION,
      description: "Serves Claire, a French dialogue model, to clients of several APIs.",
      license: { name: "Apache 2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: (Object.keys(ERRORS) as Tag[]).map((name) => ({ name })),
    paths,
    components: {
      schemas: { ...requests.named, ...answers.named },
      securitySchemes: {
        key: { type: "http", scheme: "bearer", description: "If the server has an --api-key." },
      },
    },
  };
}

function describe(operation: Operation, requests: Schemas, answers: Schemas): Json {
  const { method, path, params, tag, summary, body, example, answer, events, otherType } =
    operation;
  const content = {
    ...(answer && { "application/json": { schema: answers.of(answer) } }),
    ...(events && { "text/event-stream": { schema: answers.of(events) } }),
    ...(otherType && { [otherType]: { schema: { type: "string" } } }),
  };
  return {
    operationId: `${method}${path.replace(/\W+/g, "_")}`,
    tags: [tag],
    summary,
    ...(params && {
      parameters: Object.entries(params).map(([name, example]) => ({
        name,
        in: "path",
        required: true,
        schema: { type: "string" },
        example,
      })),
    }),
    ...(body && {
      requestBody: {
        required: !operation.optionalBody,
        content: {
          "application/json": { schema: requests.of(body), ...(example && { example }) },
        },
      },
    }),
    responses: {
      200: {
        description: answerText(answer, events),
        content,
      },
      default: {
        description: "a refusal or a failure",
        content: { "application/json": { schema: answers.of(ERRORS[tag]) } },
      },
    },
    security: operation.open ? [] : [{ key: [] }, {}],
  };
}

function answerText(answer?: z.ZodType, events?: z.ZodType): string {
  if (!events) return "the answer";
  return answer ? "the answer, or the data of each event" : "the data of each event";
}

/** Schemas as JSON; those that have a name appear once, and elsewhere by reference. */
class Schemas {
  readonly named: Record<string, Json>;
  readonly #registry = z.registry<{ id: string }>();
  readonly #io: "input" | "output";

  constructor(named: NamedSchemas, io: "input" | "output") {
    this.#io = io;
    for (const [id, schema] of Object.entries(named)) this.#registry.add(schema, { id });
    const { schemas } = z.toJSONSchema(this.#registry, { ...this.#options(), uri });
    this.named = Object.fromEntries(
      Object.entries(schemas).map(([id, schema]) => [id, plain(schema)]),
    );
  }

  of(schema: z.ZodType): Json {
    const id = this.#registry.get(schema)?.id;
    if (id !== undefined) return { $ref: uri(id) };
    if (schema instanceof z.ZodArray) {
      return { type: "array", items: this.of(schema.element as z.ZodType) };
    }
    if (schema instanceof z.ZodUnion) {
      return { anyOf: (schema.options as z.ZodType[]).map((option) => this.of(option)) };
    }
    return plain(z.toJSONSchema(schema, this.#options()));
  }

  #options() {
    return { io: this.#io, unrepresentable: "any" as const };
  }
}

function uri(id: string): string {
  return `#/components/schemas/${id}`;
}

/** Without what only a schema that stands alone has. */
function plain({ $schema: _schema, $id: _id, ...schema }: Json): Json {
  return schema;
}
