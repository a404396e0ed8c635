"""Counts how many answers keep the format, let the speakers alternate, and stay on the topic.

    python3 judge.py prompts.json answers.jsonl                    prints the figures
    python3 judge.py prompts.json answers.jsonl --readme README.md  and puts them there, with the
                                                                    first 20 answers, as they are

A line counts when it is whole: the last one of an answer that was cut off does not. The topic is
guessed by a naive Bayes classifier from the words of the answer alone; what it makes of the real
rest of such conversations says how far it can be believed.
"""

import json
import math
import re
import sys
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent / "training"))
from corpus import Corpus  # noqa: E402
from prompts import FORMATS, prompt_of  # noqa: E402

# Topics of the corpus that are about the same things.
AREAS = {
    "shops": "boulangerie marché boucherie vêtements chaussures fleuriste cadeau magasin librairie",
    "offices": "poste banque bibliothèque téléphone logement coiffeur hôtel",
    "cooking": "cuisine recette idée",
    "eating out": "café restaurant table",
    "health": "médecin dentiste malade pharmacie vétérinaire",
    "weather": "météo",
    "travel": "train gare bus chemin vacances",
    "stage": "théâtre cinéma musique musée scène spectacle sortie",
    "school": "école classe",
    "work": "réunion bureau entretien embauche",
    "interview": "interview émission",
    "small talk": "bavardage rencontre famille loisirs sport match lecture voisins animaux jardin "
                  "sentiment nouvelles nouvelle question goûts qui avis rendez-vous adieu merci "
                  "pardon aide objet heure anniversaire radio inscription",
}
AREA_OF = {topic: area for area, topics in AREAS.items() for topic in topics.split()}
SHEET = 20


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]{3,}", text.lower())


class Topics:
    """Word counts of each area, in conversations that no prompt was taken from."""

    def __init__(self, corpus: Corpus, count: int = 8000):
        self.counts: dict[str, Counter] = {area: Counter() for area in AREAS}
        for seed in range(count):
            topic, text = corpus.draw(seed)
            if topic in AREA_OF:
                self.counts[AREA_OF[topic]].update(words(text))
        self.vocabulary = len(set().union(*self.counts.values()))

    def guess(self, text: str) -> str:
        def score(counts: Counter) -> float:
            total = counts.total() + self.vocabulary
            return sum(math.log((counts[word] + 1) / total) for word in words(text))
        return max(self.counts, key=lambda area: score(self.counts[area]))


def whole_lines(answer: str, reason: str) -> list[str]:
    lines = answer.split("\n")
    return lines[:-1] if reason == "length" and len(lines) > 1 else lines


def judge(prompt: dict, answer: dict) -> tuple[bool, bool]:
    """Whether the format is kept, and whether the two speakers take turns (dashes cannot say)."""
    known = [re.match(FORMATS[prompt["format"]], line + " ")[0].strip()
             for line in prompt["prompt"].split("\n")]
    first, *others = whole_lines(answer["answer"], answer["reason"])
    if others and others[-1] == "":
        others.pop()  # a line feed at the end
    tags = [known[-1]]
    for line in others:
        tag = re.match(FORMATS[prompt["format"]] + r"(?=\S)", line)
        if tag is None:
            return False, False
        tags.append(tag[0].strip())
    kept = first.startswith(" ") and first.strip() != ""
    taken = all(a != b for a, b in zip(tags, tags[1:])) and set(tags) <= set(known)
    return kept, prompt["format"] == "dash" or taken


def figures(prompts: list[dict], answers: list[dict]) -> str:
    """A table in Markdown, and how far its last column can be believed."""
    corpus = Corpus()
    topics = Topics(corpus)
    lines = ["| format | answers | format kept | speakers in turn | on the topic |",
             "| --- | --- | --- | --- | --- |"]
    for name in [*FORMATS, "all"]:
        pairs = [(p, a) for p, a in zip(prompts, answers) if name in (p["format"], "all")]
        verdicts = [judge(*pair) for pair in pairs]
        on_topic = [topics.guess(a["answer"]) == AREA_OF[p["topic"]] for p, a in pairs
                    if p["topic"] in AREA_OF and len(words(a["answer"])) >= 5]
        cells = [name, len(pairs), share(v[0] for v in verdicts),
                 "cannot be seen" if name == "dash" else share(
                     v[1] for v, (p, _) in zip(verdicts, pairs) if p["format"] != "dash"),
                 share(on_topic)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    rng, right = Random(2), []
    for seed in range(3 * 10**9, 3 * 10**9 + 600):
        topic, text = corpus.draw(seed)
        made = prompt_of(text, rng)
        rest = text[len(made[1]):][:300] if made else ""
        if topic in AREA_OF and len(words(rest)) >= 5:
            right.append(topics.guess(rest) == AREA_OF[topic])
    return "\n".join(lines) + (
        f"\n\nOf the real rests of such conversations, the same classifier puts {share(right)} under "
        "their\ntopic.")


def sheet(answers: list[dict]) -> str:
    return "\n\n".join(f"Seed {number}:\n\n```\n{a['prompt']}⟶{a['answer'].rstrip()}\n```"
                       for number, a in enumerate(answers[:SHEET]))


def share(values) -> str:
    values = list(values)
    return f"{100 * sum(values) / max(1, len(values)):.1f} %"


def main() -> None:
    prompts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lines = Path(sys.argv[2]).read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line) for line in lines]
    table = figures(prompts, answers)
    print(table)
    if "--readme" in sys.argv:
        readme = Path(sys.argv[sys.argv.index("--readme") + 1])
        text = readme.read_text(encoding="utf-8")
        for name, content in (("figures", table), ("samples", sheet(answers))):
            text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)",
                          lambda mark: f"{mark[1]}\n{content}\n\n{mark[2]}", text, flags=re.S)
        readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
