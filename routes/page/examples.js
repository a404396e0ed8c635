/**
 * Scenes to start from, one a format. They are in French in both languages: the model speaks French.
 */

/**
 * @typedef {object} Example
 * @property {string} title
 * @property {import("./formats.js").FormatId} format
 * @property {string[]} speakers
 * @property {string} line the first one, by the first speaker
 */

/** @type {readonly Example[]} */
export const EXAMPLES = [
  {
    title: "En cuisine",
    format: "dash",
    speakers: ["Camille", "Dominique"],
    line: "Qu'est-ce qui mijote, Dominique ? On le sent jusque dans la rue.",
  },
  {
    title: "À la radio",
    format: "named",
    speakers: ["Mme Lenoir", "Paul"],
    line: "Nous recevons ce soir un apiculteur. Paul, comment vont vos abeilles ?",
  },
  {
    title: "Au guichet",
    format: "intervenant",
    speakers: ["La voyageuse", "Le guichetier"],
    line: "Bonjour, il me faudrait deux billets pour Lyon par le train de dix heures.",
  },
  {
    title: "Seul en scène",
    format: "monologue",
    speakers: ["Alix", "Sacha"],
    line: "Je vais vous raconter comment j'ai manqué le dernier métro, le soir de mes trente ans.",
  },
];
