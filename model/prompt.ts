/**
 * Dialogues as Claire reads and writes them: prompts out of turns, and turns out of text.
 *
 * Knows the four formats of the model card and what keeps a turn a turn. Pure: no HTTP, no GPU, no
 * tokenizer. Each file of `prompt/` holds one part; everybody else imports this one.
 */
export { buildPrompt, type BuiltPrompt, joinRepeated, type PromptInput } from "./prompt/build.ts";
export { convertDialogue, type ConvertedDialogue, type Dialogue } from "./prompt/convert.ts";
export { harmless, harmlessName } from "./prompt/escape.ts";
export {
  type Format,
  FORMATS,
  hasTags,
  MAX_NAME,
  PromptError,
  type Turn,
} from "./prompt/format.ts";
export { type NormaliseOptions, normaliseText } from "./prompt/normalise.ts";
export { type ParsedPrompt, parsePrompt } from "./prompt/parse.ts";
export { type TurnEvent, TurnParser, type TurnParserOptions } from "./prompt/turn_parser.ts";
