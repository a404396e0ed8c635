/**
 * French of any length that means nothing and never begins alike, so that no server can answer from
 * what it kept of an earlier prompt.
 *
 * Knows words. Knows no tokens.
 */
const WORDS =
  ("le la un une de du et mais avec sans pour dans sur vers chez bonjour merci oui non " +
    "demain hier toujours jamais souvent peut-être maison jardin marché boulangerie gare voiture " +
    "train montagne rivière école travail musique cuisine fromage pain café soupe dimanche matin " +
    "soir enfant voisine docteur boulanger grand petit vieux nouvelle bleu rouge chaud froid vient " +
    "part mange écoute regarde prépare achète oublie raconte demande répond").split(" ");

/** After so many words each has come once. */
export const ROUND = WORDS.length;

/**
 * So many words, at least one, in random order. Texts of one length have the same words, and so, but
 * for what their tokenizer makes of the order, the same number of tokens.
 */
export function words(count: number): string {
  const chosen: string[] = [];
  while (count - chosen.length > ROUND) chosen.push(...shuffled(WORDS));
  chosen.push(...shuffled(WORDS.slice(0, count - chosen.length)));
  const text = chosen.map((word, i) => (i + 1) % 12 === 0 ? `${word}.` : word);
  return `- ${text.join(" ")}\n-`;
}

/** Fisher and Yates's shuffle. */
function shuffled(values: readonly string[]): string[] {
  const order = [...values];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
