"""French that depends on the word beside it: articles, elision, numbers in words, clock times.

Knows grammar. Knows no dialogue and no random choice.
"""

VOWELS = set("aeiouyàâäéèêëîïôöûüœAEIOUYÀÂÉÈÊÎÔÛŒ")
# Words whose h is silent, by their beginnings; any other h keeps the word apart.
SILENT_H = ("heure", "hiver", "histoire", "homme", "hôtel", "hôpital", "huile", "habit", "herbe",
            "hélène", "hugo", "henri", "hortense", "humeur", "humour", "huître", "horloge", "horaire")
CONSONANT_Y = ("yaourt", "yoga", "yves-là")
ELIDED = {"la": "l'", "le": "l'", "de": "d'", "que": "qu'", "je": "j'", "ne": "n'", "me": "m'",
          "te": "t'", "se": "s'", "jusque": "jusqu'", "lorsque": "lorsqu'", "puisque": "puisqu'"}


def is_vowel_start(word: str) -> bool:
    """Whether an article before the word is elided."""
    low = word.lower()
    if low.startswith("h"):
        return low.startswith(SILENT_H)
    if low.startswith(CONSONANT_Y) or low.startswith(("onze", "oui", "huit")):
        return False
    return word[:1] in VOWELS


def elide(small: str, word: str) -> str:
    """`de` + `ami` → `d'ami`, `de` + `Lyon` → `de Lyon`; `si` only before `il`."""
    low = small.lower()
    if low in ("du", "au"):
        return contract(low, word)
    if low == "si":
        return ("S'" if small[0] == "S" else "s'") + word if word.lower().startswith(("il ", "ils ")) \
            else f"{small} {word}"
    if low in ELIDED and is_vowel_start(word):
        short = ELIDED[low]
        return (short.capitalize() if small[0].isupper() else short) + word
    return f"{small} {word}"


def contract(small: str, word: str) -> str:
    """`de` (for "du") or `à` (for "au") before a noun that may bring its article."""
    for article, short in (("le ", "du " if small == "du" else "au "),
                           ("les ", "des " if small == "du" else "aux ")):
        if word.startswith(article):
            return short + word.removeprefix(article)
    return elide("de", word) if small == "du" else f"à {word}"


def noun_form(noun: str, gender: str, form: str) -> str:
    """The noun with a determiner. `gender` is m, f, mp or fp; `form` names the determiner."""
    plural, feminine = gender.endswith("p"), gender.startswith("f")
    vowel = is_vowel_start(noun)

    def pick(many: str, before_vowel: str, female: str, male: str) -> str:
        if plural:
            return f"{many} {noun}"
        if vowel:
            return before_vowel + noun
        return f"{female if feminine else male} {noun}"

    if form == "le":
        return pick("les", "l'", "la", "le")
    if form == "du":
        return pick("des", "de l'", "de la", "du")
    if form == "au":
        return pick("aux", "à l'", "à la", "au")
    if form == "un":
        return pick("des", "une " if feminine else "un ", "une", "un")
    if form == "ce":
        return pick("ces", "cette " if feminine else "cet ", "cette", "ce")
    if form in ("mon", "ton", "son"):
        return pick(form[0] + "es", form + " ", form[0] + "a", form)
    if form in ("votre", "notre"):
        return f"{form[:2]}s {noun}" if plural else f"{form} {noun}"
    if form == "quel":
        return f"{agree(gender, ['quel', 'quelle', 'quels', 'quelles'])} {noun}"
    if form == "de":
        return elide("de", noun)
    if form == "il":
        return agree(gender, ["il", "elle", "ils", "elles"])
    if form == "pron":
        return "les" if plural else "la" if feminine else "le"
    raise KeyError(f"unknown form of a noun: {form}")


def agree(gender: str, forms: list[str]) -> str:
    """One of two forms (masculine, feminine) or four (and their plurals)."""
    index = (2 if gender.endswith("p") and len(forms) == 4 else 0) + gender.startswith("f")
    return forms[index]


UNITS = ("zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze "
         "seize dix-sept dix-huit dix-neuf").split()
TENS = {2: "vingt", 3: "trente", 4: "quarante", 5: "cinquante", 6: "soixante"}


def number(n: int) -> str:
    """0 to 999 in words."""
    if n < 20:
        return UNITS[n]
    if n < 70:
        ten, unit = divmod(n, 10)
        return TENS[ten] + ("" if unit == 0 else " et un" if unit == 1 else "-" + UNITS[unit])
    if n < 80:
        return "soixante et onze" if n == 71 else "soixante-" + UNITS[n - 60]
    if n < 100:
        return "quatre-vingts" if n == 80 else "quatre-vingt-" + UNITS[n - 80]
    hundred, rest = divmod(n, 100)
    head = "cent" if hundred == 1 else UNITS[hundred] + (" cents" if rest == 0 else " cent")
    return head + ("" if rest == 0 else " " + number(rest))


def clock(hour: int, minutes: int) -> str:
    """`huit heures et quart`, `midi`, `neuf heures dix`."""
    if hour == 12 and minutes in (0, 30):
        return "midi" if minutes == 0 else "midi et demi"
    head = "une heure" if hour == 1 else f"{'vingt et une' if hour == 21 else number(hour)} heures"
    return head + {0: "", 15: " et quart", 30: " et demie"}.get(minutes, " " + number(minutes))


def price(euros: int, cents: int) -> str:
    """`trois euros cinquante`."""
    head = f"{number(euros)} euro{'s' if euros > 1 else ''}"
    return head + (f" {number(cents)}" if cents else "")
