"""The plan of the studies as values; docs/protocol.md gives the reasons."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lstm_mnist.config import Config, variant

if TYPE_CHECKING:
    from lstm_mnist.studies.records import Record

EPOCHS = 30
ARITHMETIC = "compiled-1"
EARLY = (3, 12)  # the epochs whose mean accuracy is the primary measure, both included
FALL = 2.0  # points below the highest accuracy so far
ALL_NAMED_0 = 9.80  # percent: the accuracy of a network that names every test image 0
MARGIN = 0.1  # points, within which mean early accuracies are equivalent
LEVEL = 0.95
RECORDED = 30  # runs of the original
RUNS: Mapping[str, int] = {
    "original": 40,
    "document": 20,
    "prose": 20,
    "original_hidden": 20,
    "original_epsilon": 20,
    "original_cosine": 20,
    "original_clipped": 20,
    "stable": 40,
}


def has_fallen(highest: float, accuracy: float) -> bool:
    """Return whether an accuracy in percent is `FALL` points or more below a higher one."""
    return round(highest - accuracy, 6) >= FALL  # 65.99 - 63.99 is less than 2.0


class Departure(NamedTuple):
    """A way in which runs depart from the plan: a phrase, and the values for its braces."""

    phrase: str
    values: Mapping[str, Any]


def departures(runs: "Sequence[Record]") -> Iterator[Departure]:
    """Yield how pooled runs depart from the plan."""
    first, seeds = runs[0].config, sorted(run.config.seed for run in runs)
    if first.epochs != EPOCHS:
        values = {"epochs": first.epochs, "planned": EPOCHS}
        yield Departure("{epochs} epochs where {planned} are planned", values)
    planned = RUNS.get(first.variant)
    if planned is None or _own(first):
        yield Departure("no study of these settings is planned", {})
    else:
        if len(seeds) != planned:
            values = {"count": len(seeds), "planned": planned}
            yield Departure("{count} runs where {planned} are planned", values)
        if seeds != [*range(len(seeds))]:
            yield Departure("seeds that are not contiguous from 0", {})
    yield from departures_of_program(runs)


def departures_of_program(runs: "Sequence[Record]") -> Iterator[Departure]:
    """Yield how the program that made runs departs from what the plan asks of every study."""
    if others := sorted({run.arithmetic for run in runs} - {ARITHMETIC}):
        names = {"arithmetic": others[0], "planned": ARITHMETIC}
        yield Departure("arithmetic {arithmetic} where {planned} is planned", names)
    if len({(run.program, frozenset(run.versions.items())) for run in runs}) > 1:
        yield Departure("runs by several commits of this program, or versions of packages", {})
    if any(run.git is None for run in runs):
        yield Departure("runs by a program whose commit is not known", {})
    if any(run.git and run.git["changed"] for run in runs):
        yield Departure("runs by a checkout with changes", {})


def _own(config: Config) -> list[str]:
    """Return the settings that neither the variant nor the study's plan decides."""
    differences = config.differences(variant(config.variant))
    return [name for name in differences if name not in ("seed", "kernel", "epochs")]
