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

/** Ordinary sentences of so many words, at least one, in random order. */
export function words(count: number): string {
  const chosen = Array.from({ length: count }, (_, i) => {
    const word = WORDS[Math.floor(Math.random() * WORDS.length)]!;
    return (i + 1) % 12 === 0 ? `${word}.` : word;
  });
  return `- ${chosen.join(" ")}\n-`;
}
