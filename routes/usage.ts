/**
 * What a request took, in tokens, as OpenAI's and our own answers tell it.
 *
 * Knows the field's shape, and where the numbers are: in the request's record. Knows no route.
 */
import type { Context } from "hono";
import { z } from "zod";
import type { RouteEnv } from "./request_log.ts";

export const usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({
    cached_tokens: z.int().describe(
      "Tokens of the prompt that were computed before, for an earlier request or another answer.",
    ),
  }),
});

/** As far as the request has come. */
export function usageOf(c: Context<RouteEnv>): z.output<typeof usage> {
  const { promptTokens = 0, cachedTokens = 0, tokens = 0 } = c.get("record");
  return {
    prompt_tokens: promptTokens,
    completion_tokens: tokens,
    total_tokens: promptTokens + tokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}
