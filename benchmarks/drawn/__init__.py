"""Pictures drawn by kind. Each depends on its kind, number and seed alone."""

from collections.abc import Callable

import numpy as np

from benchmarks.drawn.digits import drawing, photo, plot, print_, small
from benchmarks.drawn.others import labelled_pair, letter, pair, scribble, thing
from benchmarks.drawn.shapes import Digits, Random

KINDS: dict[str, Callable[[int, Digits, Random], bytes]] = {
    "photo": photo,
    "drawing": drawing,
    "28x28": small,
    "printed": print_,
    "plot": plot,
}
OTHERS: dict[str, Callable[[Digits, Random], bytes]] = {
    "pair": pair,
    "scribble": scribble,
    "letter": letter,
    "thing": thing,
}


def draw(kind: str, number: int, seed: int, digits: Digits) -> tuple[bytes, int]:
    """Return one picture's file and its digit; see `KINDS`."""
    random = np.random.default_rng([seed, list(KINDS).index(kind), number])
    return KINDS[kind](number % 10, digits, random), number % 10


def draw_other(kind: str, number: int, seed: int, digits: Digits) -> bytes:
    """Return the file of one picture that shows no single digit; see `OTHERS`."""
    return OTHERS[kind](digits, _random(kind, number, seed))


def draw_pair(number: int, seed: int, digits: Digits) -> tuple[bytes, list[int]]:
    """Return the file of one "pair", and its digits from left to right."""
    return labelled_pair(digits, _random("pair", number, seed))


def _random(kind: str, number: int, seed: int) -> Random:
    return np.random.default_rng([seed, len(KINDS) + list(OTHERS).index(kind), number])
