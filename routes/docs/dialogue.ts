/**
 * Claire's own routes in the document.
 *
 * Knows examples; the schemas are those of `dialogue_schema.ts`.
 */
import { z } from "zod";
import {
  dialogueAnswer,
  dialogueEvents,
  dialogueRequest,
  parseAnswer,
  parseRequest,
  promptAnswer,
  promptRequest,
} from "../dialogue_schema.ts";
import type { NamedSchemas, Operation } from "./operation.ts";

export const dialogueRequests: NamedSchemas = {
  DialogueRequest: dialogueRequest,
  PromptRequest: promptRequest,
  ParseRequest: parseRequest,
};

const { turn_start, text, done } = dialogueEvents;

export const dialogueAnswers: NamedSchemas = {
  DialogueAnswer: dialogueAnswer,
  PromptAnswer: promptAnswer,
  ParseAnswer: parseAnswer,
};

const tag = "Dialogues";
const turns = [
  { speaker: "Dominique", text: "Bonjour Camille, qu'allez-vous nous cuisiner ?" },
  { speaker: "Camille", text: "Une tarte aux pommes." },
];

export const dialogueOperations: Operation[] = [
  {
    method: "post",
    path: "/v1/dialogues",
    tag,
    summary: "The next turn, or several; by `stream`, events `turn_start`, `text`, `turn_end` " +
      "and at last `done`, or `error`",
    body: dialogueRequest,
    example: { turns, next: "Dominique", max_tokens: 40 },
    answer: dialogueAnswer,
    // `turn_start` and `turn_end` have the same fields.
    events: z.union([text, done, turn_start]),
  },
  {
    method: "post",
    path: "/v1/prompts",
    tag,
    summary: "The prompt that a dialogue becomes, exactly as the model reads it",
    body: promptRequest,
    example: { turns, next: "Dominique" },
    answer: promptAnswer,
  },
  {
    method: "post",
    path: "/v1/prompts/parse",
    tag,
    summary: "The dialogue in a prompt of any format",
    body: parseRequest,
    example: { prompt: "- Bonjour !\n- Bonjour, ça va ?\n-" },
    answer: parseAnswer,
  },
];
