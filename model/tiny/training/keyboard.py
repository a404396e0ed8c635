"""How people type: without accents, commas or capitals, with slips, greetings and small words.

Only the first turn is typed so, since that is a user's; the answers stay as they should be.
Knows spelling. Knows no speaker and no format.
"""

import re
import unicodedata
from random import Random

BEFORE = ("Bonjour, ", "Salut, ", "Euh, ", "Alors, ", "Dites, ", "Dis-moi, ", "Dites-moi, ", "Bon, ",
          "Au fait, ", "Écoute, ", "Ah, ", "Excusez-moi, ", "S'il vous plaît, ", "Tiens, ", "Oh, ",
          "Bonsoir, ", "Donc, ", "Et ", "Mais ", "Hé, ", "Coucou, ")
AFTER = (" aujourd'hui", " maintenant", " tout de suite", " cette semaine", " avec mon mari",
         " avec ma femme", " avec les enfants", " dans le quartier", " à la maison", " pour de bon",
         " si possible", " en ce moment", " comme d'habitude", " pour mon anniversaire", " ce matin",
         " vraiment", " par hasard", " avant midi", " après le travail", " pour la première fois",
         ", merci d'avance", ", tu sais", ", vous savez", ", par exemple", ", je crois", ", hein")
SHORT = ((r"s'il vous plaît", "svp"), (r"s'il te plaît", "stp"), (r"\bBonjour\b", "Bjr"),
         (r"\b(q)ue\b", r"\1"), (r"\bquelque chose\b", "qqch"), (r"\bT(u) as\b", "T'as"),
         (r"\btu as\b", "t'as"), (r"\btu es\b", "t'es"), (r"\bIl y a\b", "Y a"),
         (r"\bil y a\b", "y a"), (r"\bje suis\b", "chuis"), (r"\bJe ne\b", "Je"), (r"\bne ", ""),
         (r"\bn'", ""), (r"\bParce que\b", "Pcq"))


def mistype(turns: list[tuple[str, str]], rng: Random) -> list[tuple[str, str]]:
    """The same turns, the first one, more often than not, as somebody in a hurry types it."""
    if rng.random() < 0.4:
        return turns
    (who, text), *others = turns
    return [(who, _typed(text, rng)), *others]


def _typed(text: str, rng: Random) -> str:
    if rng.random() < 0.25:
        text = rng.choice(BEFORE) + text[0].lower() + text[1:]
    if rng.random() < 0.12:
        text = re.sub(r"( ?[?!.]*)$", lambda end: rng.choice(AFTER) + end[1], text, count=1)
    if rng.random() < 0.3:
        for pattern, short in SHORT:
            text = re.sub(pattern, short, text)
    if rng.random() < 0.25:
        text = "".join(letter for letter in unicodedata.normalize("NFD", text)
                       if not unicodedata.combining(letter))
    if rng.random() < 0.25:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.3:
        text = re.sub(r" ?[?!.]+$", rng.choice(("", "", "?", " ??", " !", "...", ".")), text)
    if rng.random() < 0.15:
        text = text.replace(",", "")
    for _ in range(rng.choice((0, 0, 0, 0, 0, 1, 1, 2))):
        text = _slip(text, rng)
    return text


def _slip(text: str, rng: Random) -> str:
    """One letter dropped, doubled or changed places with the next; or one word left out."""
    letters = [place for place in range(1, len(text) - 1)
               if text[place].isalpha() and text[place + 1].isalpha()]
    if not letters:
        return text
    at = rng.choice(letters)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1:]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    if kind == 2:
        return text[:at] + text[at + 1] + text[at] + text[at + 2:]
    words = text.split(" ")
    if len(words) > 5:
        words.pop(rng.randrange(1, len(words) - 1))
    return " ".join(words)
