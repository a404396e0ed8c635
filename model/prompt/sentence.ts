/**
 * Where sentences end.
 *
 * Knows French punctuation as far as it takes to leave out a sentence that broke off. Knows no turn.
 */

/** Ends a sentence, closing quotes and brackets included. "M. Petit" and "3.5" go on. */
const SENTENCE_END =
  /(?:[!?…]|\.{2,}|(?<!(?<![\p{L}\p{N}])(?:\p{Lu}|Mr|MM|Dr|St|Ste))\.)[.!?…]*(?: ?[»"”')\]])*/gu;

/**
 * The length of the part of `text` that is whole sentences; 0 if there is none.
 *
 * @param ended whether nothing follows the text: its last sign may then end a sentence too
 */
export function wholeSentences(text: string, ended: boolean): number {
  let length = 0;
  for (const { 0: end, index } of text.matchAll(SENTENCE_END)) {
    const after = index + end.length;
    if (after === text.length ? ended : /\s/.test(text[after]!)) length = after;
  }
  return length;
}
