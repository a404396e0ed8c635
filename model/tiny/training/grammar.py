"""The notation of the texts, and how one dialogue is drawn from them.

    = plat : nom | genre | base         a table; each line below it is a row
    ## cuisine 3 vous                   a scenario: topic, weight; then its lines
    ### cuisine.recette                 a block: variants, apart by a line of ---
    A: Bonjour {B}, (ça va|oui) ?       a turn; ( | ) is a choice, {slot.column} a fact
    > cuisine.recette *2-3              two or three different variants of a block
    >? météo ~                          perhaps; ~ swaps who is A and who is B

A slot keeps its row for a whole dialogue; `{plat2}` is another row of the same table. `{plat.un}` is
the noun with an article, `{plat:prêt/prête}` agrees with it. `de_{ville}` elides, `du_{x}` and
`au_{x}` also contract with an article. Choices `(1: | )` with the same number in the turns of a
scenario or of a variant are taken at the same place, so that an answer fits its question.
Knows the notation. Knows no speaker tag and no format (`speakers.py`).
"""

import re
from pathlib import Path
from random import Random

from facts import FACTS
from french import agree, elide, noun_form

FORMS = {"le", "du", "au", "un", "ce", "mon", "ton", "son", "votre", "notre", "quel", "de", "il",
         "pron"}
ANY = {"min"}  # the cell with a small first letter
SLOT = re.compile(r"\{([^{}]+)\}")
INNER = re.compile(r"\(([^()]*)\)")
ELISION = re.compile(r"([^\W_]+)_(\S+ ?\S*)")
LINK = re.compile(r"^(\d): ?(.*)$")
INCLUDE = re.compile(r"^>(\?)?\s*(\S+)(?:\s+\*(\d+)(?:-(\d+))?)?\s*(~)?$")


class Texts:
    """All tables, scenarios and blocks of a folder of texts."""

    def __init__(self, folder: Path):
        self.tables: dict[str, tuple[list[str], list[list[str]]]] = {}
        self.scenarios: list[tuple[str, float, list[str]]] = []
        self.blocks: dict[str, list[list[str]]] = {}
        for path in sorted(folder.glob("*.txt")):
            self._read(path)
        for lines in [lines for _, _, lines in self.scenarios] + sum(self.blocks.values(), []):
            for line in lines:
                self._check(line)

    def _read(self, path: Path) -> None:
        lines: list[str] = []
        rows: list[list[str]] = []
        mode = ""
        for raw in path.read_text(encoding="utf-8").splitlines():
            line = raw.strip()
            if not line or line.startswith("//"):
                continue
            if line.startswith("### "):
                lines, mode = [], "block"
                variants = self.blocks.setdefault(line[4:].strip(), [])
                variants.append(lines)
            elif line.startswith("## "):
                topic, weight, *_ = line[3:].split() + ["1"]
                lines, mode = [], "scenario"
                self.scenarios.append((topic, float(weight), lines))
            elif line.startswith("= "):
                name, _, columns = line[2:].partition(":")
                rows, mode = [], "table"
                header = [column.strip() for column in columns.split("|")] if columns else ["nom"]
                self.tables[name.strip()] = (header, rows)
            elif mode == "table":
                rows.append([cell.strip() for cell in line.split("|")])
                if len(rows[-1]) != len(header):
                    raise ValueError(f"{path.name}: {len(header)} cells expected in: {line}")
            elif line == "---" and mode == "block":
                lines = []
                variants.append(lines)
            elif mode:
                lines.append(line)
            else:
                raise ValueError(f"{path.name}: a line outside of everything: {line}")

    def _check(self, line: str) -> None:
        """A line that could not be used fails when the texts are read, not an hour later."""
        include = INCLUDE.match(line)
        if include:
            if include[2] not in self.blocks:
                raise ValueError(f"no block is named {include[2]}")
            return
        if not re.match(r"^[ABC]: ", line):
            raise ValueError(f"neither a turn nor an include: {line}")
        if line.count("(") != line.count(")") or line.count("{") != line.count("}"):
            raise ValueError(f"unbalanced: {line}")
        for slot in SLOT.findall(line):
            self._check_slot(re.split(r"[.:]", slot)[0], slot, line)

    def _check_slot(self, name: str, slot: str, line: str) -> None:
        base = name.rstrip("0123456789")
        if base in ("A", "B", "C") or base in FACTS:
            return
        if base not in self.tables:
            raise ValueError(f"no table is named {base}: {line}")
        column = slot.partition(".")[2]
        known = FORMS if "genre" in self.tables[base][0] else set()
        if column and column not in known | ANY and column not in self.tables[base][0]:
            raise ValueError(f"no column {column} in {base}: {line}")


class Drawing:
    """One dialogue being drawn: the facts chosen so far and the variants used up."""

    def __init__(self, texts: Texts, rng: Random, cast: dict):
        self.texts, self.rng, self.cast = texts, rng, cast
        self.facts: dict[str, object] = {}
        self.used: dict[str, set[int]] = {}
        self.more = 3 if rng.random() < 0.2 else 0  # some dialogues are long

    def turns(self, lines: list[str], swap: bool = False) -> list[tuple[str, str]]:
        """(speaker, text) in order; speakers are A, B, C."""
        result = []
        linked: dict[str, float] = {}
        for line in lines:
            include = INCLUDE.match(line)
            if include:
                result += self._include(include, swap)
                continue
            who, text = line[0], line[3:]
            if swap:
                who = {"A": "B", "B": "A"}.get(who, who)
            result.append((who, self._text(text, swap, linked)))
        return result

    def _include(self, include: re.Match, swap: bool) -> list[tuple[str, str]]:
        perhaps, name, low, high, tilde = include.groups()
        if perhaps and self.rng.random() < 0.5:
            return []
        variants, used = self.texts.blocks[name], self.used.setdefault(name, set())
        free = [i for i in range(len(variants)) if i not in used]
        count = self.rng.randint(int(low or 1), int(high or low or 1)) + (self.more if low else 0)
        result = []
        for index in self.rng.sample(free, min(count, len(free))):
            used.add(index)
            swapped = swap != (tilde is not None and self.rng.random() < 0.5)
            result += self.turns(variants[index], swapped)
        return result

    def _text(self, text: str, swap: bool, linked: dict[str, float]) -> str:
        while INNER.search(text):
            text = INNER.sub(lambda match: self._choice(match[1], linked), text)
        while SLOT.search(text):  # inner slots first
            text = SLOT.sub(lambda match: self._slot(match[1], swap), text)
        text = text.replace("_ ", "_")  # a choice may end in "du_"
        text = ELISION.sub(lambda match: elide(match[1], match[2]), text)
        return tidy(text)

    def _choice(self, inside: str, linked: dict[str, float]) -> str:
        link = LINK.match(inside)
        if not link:
            return self.rng.choice(inside.split("|"))
        choices = link[2].split("|")
        key = f"{link[1]} of {len(choices)}"
        return choices[int(linked.setdefault(key, self.rng.random()) * len(choices))]

    def _slot(self, slot: str, swap: bool) -> str:
        name, forms = (slot.split(":", 1) + [""])[:2] if ":" in slot else (slot, "")
        name, _, column = name.partition(".")
        if name in ("A", "B", "C"):
            person = self.cast[{"A": "B", "B": "A"}.get(name, name) if swap else name]
            if forms:
                return agree(person.gender, forms.split("/"))
            return person.form(column)
        fact = self._fact(name)
        if isinstance(fact, str):
            return fact
        if forms:
            return agree(fact["genre"], forms.split("/"))
        if column in FORMS and column not in fact:
            return noun_form(fact["nom"], fact["genre"], column)
        if column == "min":
            return fact["nom"][0].lower() + fact["nom"][1:]
        return fact[column or "nom"]

    def _fact(self, name: str):
        if name not in self.facts:
            base = name.rstrip("0123456789")
            taken = [value for key, value in self.facts.items()
                     if key.rstrip("0123456789") == base]
            for _ in range(20):
                value = self._draw(base)
                if value not in taken:
                    break
            self.facts[name] = value
        return self.facts[name]

    def _draw(self, base: str):
        if base in FACTS:
            return FACTS[base](self.rng)
        columns, rows = self.texts.tables[base]
        row = self.rng.choice(rows)
        return row[0] if len(columns) == 1 else dict(zip(columns, row))


def tidy(text: str) -> str:
    """One space between words, none doubled, capitals where sentences begin."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" ([,.])", r"\1", text)
    text = re.sub(r",([,.?!])", r"\1", text)
    return re.sub(r"(^|(?<!\.\.)[.?!] )(\w)", lambda m: m[1] + m[2].upper(), text)
