"""Facts that are made rather than listed: times, prices, numbers, days.

Each takes a random generator and gives the words. Knows which values are plausible.
"""

from random import Random

from french import clock, number, price

DAYS = "lundi mardi mercredi jeudi vendredi samedi dimanche".split()
MONTHS = ("janvier février mars avril mai juin juillet août septembre octobre novembre "
          "décembre").split()


def _clock(low: int, high: int, steps: tuple[int, ...] = (0, 0, 0, 15, 30, 30, 10, 20)):
    return lambda rng: clock(rng.randint(low, high), rng.choice(steps))


def _number(low: int, high: int):
    return lambda rng: number(rng.randint(low, high))


def _price(low: int, high: int, cents: tuple[int, ...]):
    return lambda rng: price(rng.randint(low, high), rng.choice(cents))


def _day_of_month(rng: Random) -> str:
    day = rng.randint(1, 28)
    return f"{'premier' if day == 1 else number(day)} {rng.choice(MONTHS)}"


def _telephone(rng: Random) -> str:
    return "zéro six, " + ", ".join(number(rng.randint(10, 99)) for _ in range(4))


FACTS = {
    "heure": _clock(7, 20),
    "matin": _clock(7, 11),
    "après-midi": _clock(14, 17),
    "soir": _clock(18, 22),
    "prix": _price(1, 9, (0, 0, 20, 50, 50, 80)),
    "prixmoyen": _price(12, 60, (0,)),
    "grandprix": lambda rng: price(rng.choice((80, 90, 120, 150, 180, 200, 250, 300)), 0),
    "jour": lambda rng: rng.choice(DAYS),
    "jourouvré": lambda rng: rng.choice(DAYS[:5]),
    "mois": lambda rng: rng.choice(MONTHS),
    "date": _day_of_month,
    "peu": _number(2, 6),
    "nombre": _number(3, 12),
    "quai": _number(2, 9),
    "rue": _number(2, 60),
    "âge": _number(25, 70),
    "enfant": _number(3, 12),
    "dizaine": lambda rng: number(rng.choice((10, 15, 20, 30, 40, 50))),
    "minutes": lambda rng: number(rng.choice((5, 10, 15, 20, 25, 30, 40, 45))),
    "degrés": _number(8, 30),
    "téléphone": _telephone,
}
