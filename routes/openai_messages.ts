/**
 * Chat messages as a dialogue that Claire reads.
 *
 * Knows who speaks for which role. Knows no format: `model/prompt.ts` writes the dialogue.
 */
import {
  buildPrompt,
  type BuiltPrompt,
  harmless,
  joinRepeated,
  normaliseText,
  PromptError,
  type PromptInput,
  type Turn,
} from "../model/prompt.ts";
import { OpenAiError, unsupported } from "./openai_errors.ts";
import { checkCharacters, type JobOptions } from "./openai_job.ts";
import type { ChatRequest, Message } from "./openai_schema.ts";

/** What those who have no name are called. */
const NAMES = { user: "Intervenant 1", assistant: "Claire" };

/**
 * Users and assistants are speakers, told apart by their names where they have some; messages that
 * follow one another are one turn. What system and developer messages say stands before the first
 * turn. An assistant's message at the end is the beginning of the answer. All is written as Claire's
 * training text was.
 *
 * @throws {OpenAiError} 400 for content that is not text, is too long, or that the format cannot hold
 */
export function readDialogue(
  { messages, format: chosen }: ChatRequest,
  options: JobOptions,
): BuiltPrompt {
  const texts = messages.map((message, i) => textOf(message, `messages[${i}]`));
  checkCharacters(texts.reduce((sum, { length }) => sum + length, 0), "messages", options);
  const format = chosen ?? (messages.some(({ name }) => name) ? "named" : "intervenant");
  const context: string[] = [];
  const turns: Turn[] = [];
  let next = NAMES.assistant;
  let start = "";
  for (const [i, { role, name }] of messages.entries()) {
    const text = normaliseText(texts[i]!);
    if (role === "system" || role === "developer") {
      context.push(harmless(text));
      continue;
    }
    const speaker = name || NAMES[role];
    if (role === "assistant") next = speaker;
    if (role === "assistant" && i === messages.length - 1) start = text;
    else if (text.trim() !== "") turns.push({ speaker, text });
  }
  const dialogue = write({ turns: joinRepeated(turns), format, next, start });
  const prompt = [...context.filter((line) => line !== ""), dialogue.prompt].join("\n");
  return { ...dialogue, prompt };
}

/** In a monologue everything is said by one speaker. */
function write({ turns, format, next, start }: PromptInput): BuiltPrompt {
  const alone = format === "monologue";
  try {
    return buildPrompt({
      turns: alone ? turns.map(({ text }) => ({ text })) : turns,
      format,
      next: alone ? undefined : next,
      start,
    });
  } catch (error) {
    if (!(error instanceof PromptError)) throw error;
    throw new OpenAiError(`Invalid 'messages': ${error.message}.`, "messages", "invalid_value");
  }
}

function textOf({ content, tool_calls }: Message, path: string): string {
  if (Array.isArray(tool_calls) && tool_calls.length > 0) throw unsupported(`${path}.tool_calls`);
  if (typeof content === "string") return content;
  return (content ?? []).map(({ type, text }, i) => {
    if (type === "text") return text ?? "";
    throw new OpenAiError(
      `Invalid value: '${type.slice(0, 40)}'. Supported values are: 'text'.`,
      `${path}.content[${i}].type`,
      "invalid_value",
    );
  }).join("");
}
