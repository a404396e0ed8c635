/**
 * The forms that the text of a setting can have: sizes, whole numbers, keys, addresses.
 *
 * Knows no setting.
 */
import { z } from "zod";

const UNITS: Record<string, number> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

export const bytes = z.string()
  .regex(/^\d+(\.\d+)? ?([KMG]i?)?B?$/i)
  .transform((text) => {
    const unit = text.replace(/^[\d.]+ ?/, "").toLowerCase();
    return Math.floor(parseFloat(text) * UNITS[unit.endsWith("b") ? unit : `${unit}b`]!);
  })
  .pipe(z.int().min(1));

export function whole(min: number, max: number) {
  return z.string().regex(/^\d{1,15}$/).transform(Number).pipe(z.int().min(min).max(max));
}

export function list(item: z.ZodType<string, string>) {
  return z.array(item).default([]);
}

/** What a header can carry, less the comma that separates keys in a variable. */
export const key = z.string().regex(/^[!-+\--~]+$/);

/** As a browser writes it in `Origin`: without a path, and without the port that goes without saying. */
export const origin = z.string()
  .regex(/^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@,A-Z]+$/)
  .refine((text) => !/^https?:/.test(text) || URL.parse(text)?.origin === text);

/** A server's address, without the slash that some put at its end. */
export const address = z.string()
  .regex(/^https?:\/\/[^\s/?#@,]+(\/[^\s?#,]*)?$/i)
  .refine(URL.canParse)
  .transform((text) => text.replace(/\/+$/, ""));
