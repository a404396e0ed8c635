"""Who speaks, and how a dialogue is written down: Claire's four formats and two variants.

Knows names and tags. A name in the text is always the name in the tag.
"""

import re
from dataclasses import dataclass
from random import Random

FEMALE = """Camille Marie Sophie Julie Claire Anne Isabelle Nathalie Sylvie Catherine Léa Emma Chloé
Manon Inès Sarah Alice Louise Jeanne Juliette Charlotte Élise Hélène Lucie Pauline Mathilde Marion
Laura Céline Sandrine Valérie Martine Françoise Monique Nicole Christine Brigitte Agathe Margaux Zoé
Nadia Fatima Leïla Amina Samira Dominique Florence Béatrice Caroline Delphine Estelle Fanny Gisèle
Odile Simone Thérèse Valentine Yasmine Rose Clara Nina Eva Lina Anaïs Mélanie Virginie Aurélie
Stéphanie Véronique Patricia Corinne Laurence Solène Noémie Clémence""".split()
MALE = """Pierre Jean Paul Jacques Michel Philippe Alain Bernard Nicolas Thomas Julien Antoine
Alexandre Maxime Hugo Lucas Louis Gabriel Arthur Jules Adam Raphaël Léo Nathan Théo Mathieu Vincent
François Olivier Laurent Éric Pascal Patrick Thierry Christophe Stéphane Sébastien David Daniel Marc
Luc André Robert Henri Georges Marcel René Roger Gilbert Dominique Camille Karim Mehdi Rachid Samir
Omar Youssef Benoît Cédric Damien Étienne Fabien Guillaume Hervé Ismaël Joël Kevin Loïc Martin Noé
Oscar Quentin Romain Simon Tristan Victor Xavier Yves Bruno Denis Frédéric Gérard Jérôme""".split()
LAST = """Martin Bernard Thomas Petit Robert Richard Durand Dubois Moreau Laurent Simon Michel Lefebvre
Leroy Roux David Bertrand Morel Fournier Girard Bonnet Dupont Lambert Fontaine Rousseau Vincent Muller
Lefèvre Faure André Mercier Blanc Guérin Boyer Garnier Chevalier François Legrand Gauthier Garcia
Perrin Robin Clément Morin Nicolas Henry Roussel Mathieu Gautier Masson Marchand Duval Denis Dumont
Marie Lemaire Noël Meyer Dufour Meunier Brun Blanchard Giraud Joly Rivière Lucas Brunet Gaillard
Barbier Arnaud Martinez Renard Roche Schmitt Roy Leroux Colin Vidal Caron Picard Fabre Benali Diallo
Nguyen Traoré Haddad Lopez Da Costa Silva Kaya""".replace("Da Costa", "Dacosta").split()
SYLLABLES = "ba bel cas dal do fa fer ga gi la len li lo ma mel mi mo na nel ni ra ric ro sa sel ta \
til va ver vi za zel".split()
TITLES = {"m": ("M.", "Mr.", "Monsieur"), "f": ("Mme", "Mme", "Madame")}

# Of the first words of a turn: those that may follow "Euh, " with a small letter.
AFTER_FILLER = set("""je j'ai c'est ça il elle on nous vous tu le la les un une des à au pour dans en
mon ma mes notre nos ce cette avec j'habite j'aime j'étais j'adore j'en""".split())
FILLERS = ("Euh, ", "Euh, ", "Ben, ", "Eh bien, ", "Alors, ", "Bon, ", "Ah, ", "Disons, ")
BACKCHANNELS = ("D'accord.", "Oui.", "Ah oui.", "Hum, hum.", "Très bien.", "Ah, d'accord.",
                "Oui, oui.", "Je vois.", "Mmh.", "Oui, bien sûr.")
PAUSE = re.compile(r"\b(c'est|voudrais|il y a|avec|j'ai|on a|était|cherche) (?=\w)")
SENTENCE = re.compile(r"(?<=[.!]) (?=[A-ZÀÉÊÎ])(?!\.\.)")


@dataclass
class Person:
    """A speaker. `form` gives what a text may say of them."""

    first: str
    last: str
    gender: str
    title: str

    def form(self, name: str) -> str:
        polite = "madame" if self.gender == "f" else "monsieur"
        return {"": self.first, "m": polite, "nom": f"{polite} {self.last}", "last": self.last,
                "full": f"{self.first} {self.last}"}[name]


def invented(rng: Random) -> str:
    """A name that is in no list, so that tags are copied and not known by heart."""
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 3))).capitalize()


def draw_cast(rng: Random) -> dict[str, Person]:
    """Three speakers with different names."""
    cast: dict[str, Person] = {}
    for who in "ABC":
        while True:
            gender = rng.choice("mf")
            listed = FEMALE if gender == "f" else MALE
            first = invented(rng) if rng.random() < 0.06 else rng.choice(listed)
            last = invented(rng) if rng.random() < 0.15 else rng.choice(LAST)
            person = Person(first, last, gender, rng.choice(TITLES[gender]))
            others = cast.values()
            if all(person.first != other.first and person.last != other.last for other in others):
                break
        cast[who] = person
    return cast


def merge(turns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A speaker who goes on gets one turn, as in Claire's own preparation."""
    merged: list[tuple[str, str]] = []
    for who, text in turns:
        if merged and merged[-1][0] == who:
            merged[-1] = (who, f"{merged[-1][1]} {text}")
        else:
            merged.append((who, text))
    return merged


def speak(turns: list[tuple[str, str]], rng: Random) -> list[tuple[str, str]]:
    """Fillers, pauses and backchannels of spoken French, at a small rate."""
    rate = rng.choice((0.0, 0.06, 0.15))
    spoken: list[tuple[str, str]] = []
    for who, text in turns:
        first = text.split(" ", 1)[0]
        if spoken and spoken[-1][1].endswith("?") and rng.random() < rate * 2 \
                and first.lower() in AFTER_FILLER:
            text = rng.choice(FILLERS) + text[0].lower() + text[1:]
        if rng.random() < rate * 0.4:
            text = PAUSE.sub(r"\1, euh, ", text, count=1)
        before, *rest = SENTENCE.split(text, maxsplit=1)
        if rest and spoken and len(before) > 30 and before.endswith(".") \
                and rng.random() < rate * 0.8:
            spoken += [(who, before), (spoken[-1][0], rng.choice(BACKCHANNELS))]
            text = rest[0]
        spoken.append((who, text))
    return spoken


def write_down(turns: list[tuple[str, str]], cast: dict[str, Person], rng: Random) -> str:
    """The dialogue as text, one turn a line, in a random format that its speakers allow."""
    order = list(dict.fromkeys(who for who, _ in turns))
    choices = ["intervenant"] * 30 + ["first"] * 15 + ["full"] * 10 + ["titled"] * 12
    if len(order) == 2:
        choices += ["dash"] * 36
        choices += ["you"]
    if len(order) == 1:
        choices = ["none"] * 80 + choices[:20]
    style = rng.choice(choices)

    def tag(who: str) -> str:
        person = cast[who]
        if style == "intervenant":
            return f"[Intervenant {order.index(who) + 1}:] "
        if style == "dash":
            return "- "
        if style == "none":
            return ""
        if style == "you":  # as a chat's front end writes it
            return "[Vous:] " if who == order[0] else f"[{cast[who].first}:] "
        name = person.first if style == "first" else f"{person.first} {person.last}"
        return f"[{person.title + ' ' if style == 'titled' else ''}{name}:] "

    bare, low = rng.random() < 0.06, rng.random() < 0.06
    lines = []
    for who, text in turns:
        if bare:
            text = re.sub(r"[,;.!?…]|: ", "", text)
            text = re.sub(r"\s+", " ", text).strip()
        lines.append(tag(who) + (text.lower() if low else text))
    return "\n".join(lines)
