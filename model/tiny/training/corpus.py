"""The training text: dialogues drawn from `texts/` and written in Claire's formats.

    python3 corpus.py --count 20 --seed 1            prints dialogues
    python3 corpus.py --count 3 --topic cuisine      of one topic

Each conversation depends on its seed alone. Knows how a dialogue is composed; knows no tokens.
"""

import argparse
from pathlib import Path
from random import Random

from grammar import Drawing, Texts
from keyboard import mistype
from speakers import draw_cast, merge, speak, write_down

HERE = Path(__file__).parent
# Openings kept out of the training text, to be measured on.
HELD_BACK = ("Bonjour Dominique, qu'allez-vous nous cuisiner", "je cite rarement")


class Corpus:
    """All conversations there can be, by seed."""

    def __init__(self) -> None:
        self.texts = Texts(HERE / "texts")
        self.weights = [weight for _, weight, _ in self.texts.scenarios]

    def conversation(self, seed: int, topic: str | None = None) -> str:
        return self.draw(seed, topic)[1]

    def draw(self, seed: int, topic: str | None = None) -> tuple[str, str]:
        """The topic of a conversation, and its text."""
        rng = Random(seed)
        while True:
            chosen = rng.choices(self.texts.scenarios, self.weights)[0]
            if topic and chosen[0] != topic:
                continue
            cast = draw_cast(rng)
            turns = merge(Drawing(self.texts, rng, cast).turns(chosen[2]))
            if len({who for who, _ in turns}) > 1:
                turns = mistype(speak(turns, rng), rng)
            text = write_down(turns, cast, chosen[0], rng)
            if not any(opening in text for opening in HELD_BACK):
                return chosen[0], text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--topic")
    options = parser.parse_args()
    corpus = Corpus()
    for seed in range(options.seed, options.seed + options.count):
        print(corpus.conversation(seed, options.topic), end="\n\n")


if __name__ == "__main__":
    main()
