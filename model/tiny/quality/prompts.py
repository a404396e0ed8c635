"""Prompts that training never saw: beginnings of conversations of other seeds.

    python3 prompts.py > prompts.json

Two speakers; one to three turns, and the tag of whoever speaks next. The four formats take turns.
"""

import json
import re
import sys
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent / "training"))
from corpus import Corpus  # noqa: E402

COUNT = 200
SEEDS = 2 * 10**9  # training takes those from 10**7 on, its measure of loss those from 10**9 on
FORMATS = {
    "dash": r"- ",
    "intervenant": r"\[Intervenant \d:\] ",
    "full": r"\[[^\]]+ [^\]]+:\] ",
    "first": r"\[[^\] ]+:\] ",
}


def prompt_of(text: str, rng: Random) -> tuple[str, str] | None:
    """The format, and a beginning; nothing if there are not two speakers and some turns to come."""
    lines = text.split("\n")
    name = next((name for name, tag in FORMATS.items() if re.match(tag, lines[0])), None)
    if name is None or len(lines) < 5:
        return None
    tags = [re.match(FORMATS[name], line)[0].strip() for line in lines]
    if name != "dash" and len(set(tags)) != 2:
        return None
    cut = rng.choice((1, 1, 2, 3))
    return name, "\n".join([*lines[:cut], tags[cut]])


def main() -> None:
    corpus, rng = Corpus(), Random(1)
    found: dict[str, list[dict]] = {name: [] for name in FORMATS}
    seed = SEEDS
    while min(map(len, found.values())) < COUNT // len(FORMATS):
        topic, text = corpus.draw(seed)
        made = prompt_of(text, rng)
        if made and len(found[made[0]]) < COUNT // len(FORMATS):
            found[made[0]].append({"format": made[0], "topic": topic, "prompt": made[1]})
        seed += 1
    in_turn = [prompt for four in zip(*found.values()) for prompt in four]
    print(json.dumps(in_turn, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
