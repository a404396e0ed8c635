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
Stéphanie Véronique Patricia Corinne Laurence Solène Noémie Clémence Ludivine Bérénice Apolline
Ophélie Ségolène Inaya Paulette Gabrielle Victoire Capucine Salomé Romane Maëlys Louna Ambre Jade
Lola Ninon Constance Diane Edwige Flora Garance Héloïse Iris Justine Karine Lucile Marguerite Olga
Prune Raphaëlle Sabrina Tatiana Ursule Violette Wendy Yolande Zélie Marie-Claude Anne-Sophie Aïcha
Khadija Mariama Aminata Mei Priya Ingrid Giulia Carmen Jocelyne Ginette Huguette Lucette Maud Myriam
Perrine Rachel Rebecca Soraya Tiphaine Éléonore Éloïse Adèle Agnès Albane Blanche""".split()
MALE = """Pierre Jean Paul Jacques Michel Philippe Alain Bernard Nicolas Thomas Julien Antoine
Alexandre Maxime Hugo Lucas Louis Gabriel Arthur Jules Adam Raphaël Léo Nathan Théo Mathieu Vincent
François Olivier Laurent Éric Pascal Patrick Thierry Christophe Stéphane Sébastien David Daniel Marc
Luc André Robert Henri Georges Marcel René Roger Gilbert Dominique Camille Karim Mehdi Rachid Samir
Omar Youssef Benoît Cédric Damien Étienne Fabien Guillaume Hervé Ismaël Joël Kevin Loïc Martin Noé
Oscar Quentin Romain Simon Tristan Victor Xavier Yves Bruno Denis Frédéric Gérard Jérôme Gauthier
Solal Wassim Jean-Baptiste Yann Hubert Fabrice Jean-Pierre Jean-Marc Kévin Enzo Gaspard Timothée
Augustin Basile Côme Désiré Edgar Félix Gustave Honoré Ivan Joseph Killian Léonard Malo Noël Octave
Prosper Rémi Sacha Tanguy Ulysse Valentin Willy Yanis Zacharie Abdel Amadou Bilal Chen Diego Farid
Giorgio Hassan Idriss Javier Kofi Lorenzo Mamadou Nadir Ousmane Pavel Rayan Salif Tariq Viktor Wei
Aymeric Baptiste Corentin Dorian Erwan Florian Ghislain Jonathan Ludovic Mickaël Norbert Régis
Sylvain Thibault""".split()
LAST = """Martin Bernard Thomas Petit Robert Richard Durand Dubois Moreau Laurent Simon Michel Lefebvre
Leroy Roux David Bertrand Morel Fournier Girard Bonnet Dupont Lambert Fontaine Rousseau Vincent Muller
Lefèvre Faure André Mercier Blanc Guérin Boyer Garnier Chevalier François Legrand Gauthier Garcia
Perrin Robin Clément Morin Nicolas Henry Roussel Mathieu Gautier Masson Marchand Duval Denis Dumont
Marie Lemaire Noël Meyer Dufour Meunier Brun Blanchard Giraud Joly Rivière Lucas Brunet Gaillard
Barbier Arnaud Martinez Renard Roche Schmitt Roy Leroux Colin Vidal Caron Picard Fabre Benali Diallo
Nguyen Traoré Haddad Lopez Dacosta Silva Kaya Kowalczyk Bouchard Delacroix Toussaint Vasseur Carpentier
Charpentier Berger Bertin Besson Bonneau Bouvier Breton Briand Cordier Courtois Delmas Deschamps
Fleury Germain Gillet Guichard Hamon Hubert Humbert Jacob Jacquet Labbé Lacroix Lebrun Leclerc
Lemoine Leblanc Maillard Mallet Menard Millet Monnier Navarro Noir Olivier Paris Pasquier Pelletier
Perret Poirier Prévost Rémy Renaud Rey Royer Sanchez Seguin Tessier Vallet Verdier Weber Zimmermann
Le_Goff De_Santis Ben_Ali El_Amrani Diop Keita Cissé Okafor Ivanov Rossi Schneider Wang Tran Patel
Yilmaz Novak Johansson O'Brien Saint-Martin""".split()
LAST = [name.replace("_", " ") for name in LAST]
SYLLABLES = "ba bel cas dal do fa fer ga gi la len li lo ma mel mi mo na nel ni ra ric ro sa sel ta \
til va ver vi za zel".split()
ONSETS = "b c d f g h j k l m n p r s t v w y z br ch cl cr dr fr gr pl pr st th tr ph gu qu".split()
NUCLEI = "a a e i o u é è ou an on in eau ai oi ie ia eu".split()
CODAS = ["", "", "", "", "l", "n", "r", "s", "t", "x", "ck", "lle", "nne", "rd", "tte", "ve", "de"]
TITLES = {"m": ("M.", "M.", "Mr.", "Monsieur", "Dr.", "Maître"),
          "f": ("Mme", "Mme", "Mme", "Madame", "Mlle", "Dr.")}
# Who A and B are, for tags that name no person.
ROLES = {"boulangerie": ("Client", "Boulanger"), "magasin": ("Client", "Vendeur"),
         "marché": ("Client", "Marchand"), "vêtements": ("Cliente", "Vendeuse"),
         "médecin": ("Patient", "Médecin"), "dentiste": ("Patient", "Dentiste"),
         "pharmacie": ("Client", "Pharmacien"), "train": ("Voyageur", "Agent"),
         "hôtel": ("Client", "Réception"), "restaurant": ("Client", "Serveur"),
         "table": ("Client", "Serveuse"), "café": ("Client", "Serveur"),
         "interview": ("Journaliste", "Invité"), "émission": ("Animatrice", "Invité"),
         "entretien": ("Recruteur", "Candidat"), "embauche": ("Recruteur", "Candidat"),
         "classe": ("Élève", "Professeur"), "chemin": ("Passant", "Habitant"),
         "recette": ("Animateur", "Cuisinier"), "cuisine": ("Camille", "Chef")}

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
    if rng.random() < 0.3:
        return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 3))).capitalize()
    parts = rng.choice((1, 2, 2, 2, 3))
    name = "".join(rng.choice(ONSETS) + rng.choice(NUCLEI) for _ in range(parts))
    return (name[rng.random() < 0.1:] + rng.choice(CODAS)).capitalize()


def draw_cast(rng: Random) -> dict[str, Person]:
    """Three speakers with different names."""
    cast: dict[str, Person] = {}
    strange = rng.choice((0.0, 0.2, 0.7))
    for who in "ABC":
        while True:
            gender = rng.choice("mf")
            listed = FEMALE if gender == "f" else MALE
            first = invented(rng) if rng.random() < strange else rng.choice(listed)
            last = invented(rng) if rng.random() < strange else rng.choice(LAST)
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


def write_down(turns: list[tuple[str, str]], cast: dict[str, Person], topic: str,
               rng: Random) -> str:
    """The dialogue as text, one turn a line, in a random format that its speakers allow."""
    order = list(dict.fromkeys(who for who, _ in turns))
    choices = ["intervenant"] * 30 + ["first"] * 18 + ["full"] * 10 + ["titled"] * 12
    if len(order) == 2:
        choices += ["dash"] * 36
        choices += ["you"] * 4 + ["role"] * (4 if topic in ROLES else 0)
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
        if style == "role":
            return f"[{ROLES[topic]['AB'.index(who)]}:] "
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
