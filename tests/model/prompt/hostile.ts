/**
 * Texts, names and dialogues for property tests, made of what could break a dialogue: line breaks
 * of every kind, marks of turns, special tokens, blanks, halves of characters.
 */
import fc from "fast-check";
import { type Format, FORMATS } from "../../../model/prompt.ts";

const PIECES = [
  ...["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028", "\u2029"],
  ...[" ", "\t", "\xa0", "\u202f", "\u3000", "\ufeff", "\u200b", "\xad", "\0", "\x1b", "\u202e"],
  ...["-", "- ", "\n- ", "\n-", "–", "—", "‑", "−", "--", "-5", "- -", "•"],
  ...[
    "[",
    "]",
    ":",
    ":]",
    "[A:]",
    "\n[B:] ",
    "[Intervenant 1:]",
    "[speaker002:] ",
    "[rire]",
    "[:]",
  ],
  ...["<|endoftext|>", ">>QUESTION<<", ">>ANSWER<<"],
  ...["\ud83d", "\ude00", "😀", "e\u0301", "\u0301", "é", "É", "œ", "ᵉʳ", "İ", "ς"],
  ...["«", "»", "“", "”", "’", "'", "''", "``", "…", ".", "...", "!", "?", ",", ";", " ?"],
  ...["a", "Bonjour", "Camille", "5", "3,5", "M.", "mot-clé", "__proto__", "constructor"],
];

/** Any string at all. */
export const anyText = fc.oneof(
  { weight: 3, arbitrary: fc.array(fc.constantFrom(...PIECES), { maxLength: 8 }) },
  { weight: 1, arbitrary: fc.array(fc.string({ unit: "binary", maxLength: 6 }), { maxLength: 2 }) },
).map((pieces) => pieces.join(""));

/** Any string, of which something is left when it stands in a tag. */
export const anyName = fc.oneof(
  anyText.map((text) => text.slice(0, 100)).filter((text) => /[\p{L}\p{N}]/u.test(text)),
  fc.constantFrom("Camille", "Mme Camille Durand", "Mr. Dominique Petit", "Intervenant 2", "JR"),
  fc.nat({ max: 20 }).map((number) => `speaker00${number}`),
);

const WORDS = [
  ...["Bonjour", "Camille,", "oui", "non", "ça va ?", "d'accord.", "l'été", "peut-être", "3,5"],
  ...["😀", "e\u0301te\u0301", "(rire)", "<|endoftext|>", "a:", "«", "…", "-", "−5"],
];

/** What a turn can say and be left as it is: one line, no brackets, no dash in front. */
export const plainText = fc.tuple(
  fc.constantFrom(...WORDS.filter((word) => word !== "-")),
  fc.array(fc.constantFrom(...WORDS), { maxLength: 6 }),
).map(([first, others]) => [first, ...others].join(" "));

export const plainName = fc.constantFrom(
  ...["Camille", "Dominique", "Mme Camille Durand", "Mr. Dominique Petit", "Jo", "R2-D2", "É. : B"],
);

/** Who speaks, in a way that the format can hold: its name, the speakers of the turns, the next. */
export interface Casting {
  format: Format;
  speakers: string[];
  next: string;
}

/** A cast whose names come from `name`; in the intervenant format they are numbers. */
export function casting(name: fc.Arbitrary<string>): fc.Arbitrary<Casting> {
  const length = fc.integer({ min: 1, max: 5 });
  const numberedName = fc.integer({ min: 1, max: 12 }).map((number) => `Intervenant ${number}`);
  return fc.constantFrom(...FORMATS).chain((format): fc.Arbitrary<Casting> => {
    if (format === "monologue") {
      return fc.tuple(name, length).map(([one, count]) => ({
        format,
        speakers: Array(count).fill(one),
        next: one,
      }));
    }
    if (format === "dash") {
      return fc.tuple(fc.uniqueArray(name, { minLength: 2, maxLength: 2, selector }), length)
        .map(([two, count]) => ({
          format,
          speakers: Array.from({ length: count }, (_, i) => two[i % 2]!),
          next: two[count % 2]!,
        }));
    }
    const one = format === "named" ? name : numberedName;
    return fc.tuple(fc.array(one, { minLength: 1, maxLength: 5 }), one)
      .map(([speakers, next]) => ({ format, speakers, next }));
  });
}

/** Names that look alike once they stand in a prompt are one. */
function selector(name: string): string {
  return name.toWellFormed().replaceAll("[", "(").replaceAll("]", ")")
    // deno-lint-ignore no-control-regex
    .replace(/[\s\x1c-\x1f\x85]+/g, " ").trim();
}
