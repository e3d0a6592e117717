"""What is said about a group of runs, computed once; terminal, report and README render it."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from lstm_mnist.config import TOTALS
from lstm_mnist.studies import protocol, reference, statistics
from lstm_mnist.studies.pooling import committed
from lstm_mnist.studies.protocol import Departure
from lstm_mnist.studies.records import Record


@dataclasses.dataclass(frozen=True)
class Reached:
    """How final accuracies on a split compare with the reported one, in percent."""

    reported: float
    interval: statistics.Interval  # of the reported figure, at 95 %
    count: int  # of runs that end there or above
    finals: statistics.Sample


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How runs compare with the recorded ones, and what prevents a verdict, if anything."""

    comparison: statistics.Comparison | None  # needs two runs, of as many epochs as recorded
    train: statistics.Comparison | None  # the same for the training images, which decides nothing
    departures: tuple[Departure, ...]

    @property
    def word(self) -> str | None:
        """Return the verdict; None while the plan of the studies is not fulfilled."""
        return None if self.departures or not self.comparison else self.comparison.word


@dataclasses.dataclass(frozen=True)
class Summary:
    """A group's figures; accuracies are of the test images, in percent."""

    name: str
    accuracies: Mapping[str, statistics.Sample]  # by the epoch they belong to
    collapses: statistics.Rate  # runs that end far below their highest accuracy
    falls: statistics.Rate  # runs that fall, wherever they end
    diverged: int
    reached: Mapping[str, Reached]  # by split
    near: statistics.Rate  # runs that end within the intervals of the reported pair
    verdict: Verdict | None  # the recorded runs have none

    @property
    def count(self) -> int:
        """Return the number of runs."""
        return self.collapses.total


def summarise(name: str, runs: Sequence[Record]) -> Summary:
    """Summarise a group of runs, and compare it with the recorded ones."""
    train, test = ([run.curve(split) for run in runs] for split in reference.REPORTED)
    best = [run.best.test.percent for run in runs]
    return Summary(
        name=name,
        diverged=sum(run.diverged is not None for run in runs),
        verdict=judge(runs),
        **_figures(train, test, best),
    )


def summarise_recorded() -> Summary:
    """Summarise the recorded runs of the original, for which no images were held out."""
    train, test = map(reference.recorded_curves, reference.REPORTED)
    figures = _figures(train, test)
    return Summary(name="recorded original", diverged=0, verdict=None, **figures)


def _figures(
    train: statistics.Curves, test: statistics.Curves, best: Sequence[float] = ()
) -> dict[str, Any]:
    """Return the figures that every group has, by the fields of a summary."""
    first, last = protocol.EARLY
    both = {"train": train, "test": test}
    finals = {split: [curve[-1] for curve in curves] for split, curves in both.items()}
    accuracies = {
        "final": finals["test"],
        "best on held out": best,
        "highest on test": [*map(max, test)],
        f"mean of epochs {first} to {last}": [
            statistics.early(curve) for curve in test if len(curve) >= last
        ],
    }
    return {
        "accuracies": {
            name: statistics.summarise(each) for name, each in accuracies.items() if each
        },
        "collapses": statistics.rate(sum(map(reference.collapsed, test)), len(test)),
        "falls": statistics.fallen(test),
        "reached": {split: _reached(split, values) for split, values in finals.items()},
        "near": statistics.rate(sum(map(near, finals["train"], finals["test"])), len(test)),
    }


def _reached(split: str, finals: Sequence[float]) -> Reached:
    reported = reference.REPORTED[split]
    return Reached(
        reported=reported,
        interval=reported_interval(split),
        count=sum(final >= reported for final in finals),
        finals=statistics.summarise(finals),
    )


def near(train: float, test: float) -> bool:
    """Return whether accuracies in percent lie within the reported pair's own intervals."""
    for split, accuracy in (("train", train), ("test", test)):
        low, high = reported_interval(split)
        if not low <= accuracy <= high:
            return False
    return True


@functools.cache
def reported_interval(split: str) -> statistics.Interval:
    """Return the 95 % interval of a reported accuracy, in percent, by the split's images."""
    return statistics.wilson(reference.REPORTED[split], TOTALS[split])


def judge(runs: Sequence[Record]) -> Verdict:
    """Compare runs with the recorded ones, as docs/protocol.md plans it."""
    departures = tuple(protocol.departures(runs))
    if len(runs) < 2 or runs[0].config.epochs != protocol.EPOCHS:
        return Verdict(None, None, departures)
    test, train = (
        statistics.compare(
            statistics.measures([run.curve(split) for run in runs]),
            statistics.measures(reference.recorded_curves(split)),
        )
        for split in ("test", "train")
    )
    return Verdict(test, train, departures)


def changed(runs: Sequence[Record], original: Sequence[Record]) -> statistics.Comparison:
    """Compare runs of a variant with those of `original`."""
    ours, theirs = (
        statistics.measures([run.test_curve for run in side]) for side in (runs, original)
    )
    return statistics.compare(ours, theirs)


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where a run's final test accuracy lies among the package's runs of its settings.

    Those with its seed do not count: by the same arithmetic, they are the run itself.
    """

    studied: statistics.Sample  # their finals, in percent
    lower: statistics.Rate  # those that end lower than the run
    equal: int  # those that end as high
    arithmetic: str  # theirs
    same: bool  # whether it is the run's too


def standing(run: Record) -> Standing | None:
    """Return where a run lies, or None if the package has no other runs of its settings."""
    seed = run.config.seed
    studied = [other for other in committed(run, any_arithmetic=True) if other.config.seed != seed]
    if not studied:
        return None
    finals = [other.final.test.percent for other in studied]
    ours = run.final.test.percent
    return Standing(
        studied=statistics.summarise(finals),
        lower=statistics.rate(sum(final < ours for final in finals), len(finals)),
        equal=finals.count(ours),
        arithmetic=", ".join(sorted({other.arithmetic for other in studied})),
        same=all(
            (other.arithmetic, other.device["kind"]) == (run.arithmetic, run.device["kind"])
            for other in studied
        ),
    )
