"""What is said about a group of runs, computed once; terminal, report and README render it."""

import dataclasses
from collections.abc import Mapping, Sequence

from lstm_mnist.config import TOTALS
from lstm_mnist.studies import reference, statistics
from lstm_mnist.studies.gate import Gate
from lstm_mnist.studies.records import Record, committed


@dataclasses.dataclass(frozen=True)
class Reached:
    """How final accuracies on a split lie to the reported one, in percent."""

    reported: float
    interval: statistics.Interval  # of the reported figure, at 95 %
    count: int  # of runs that end there or above
    finals: statistics.Sample


@dataclasses.dataclass(frozen=True)
class Summary:
    """A group's figures; accuracies are of the test images, in percent."""

    name: str
    accuracies: Mapping[str, statistics.Sample]  # by the epoch they are of
    collapses: statistics.Rate
    reached: Mapping[str, Reached]  # by split
    against: statistics.AgainstRecorded | None  # takes two runs
    verdict: statistics.Verdict | None  # the recorded runs have none

    @property
    def count(self) -> int:
        """Return the number of runs."""
        return self.collapses.total


def summarise(name: str, runs: Sequence[Record]) -> Summary:
    """Summarise a group of runs, and judge it against the recorded ones."""
    curves, recorded = [run.test_curve for run in runs], reference.recorded_test_curves()
    against = statistics.against_recorded(curves, recorded) if len(runs) > 1 else None
    return Summary(
        name=name,
        accuracies={
            "final": statistics.summarise([run.final.test.percent for run in runs]),
            "best on held out": statistics.summarise([run.best.test.percent for run in runs]),
            "highest on test": statistics.summarise([max(curve) for curve in curves]),
        },
        collapses=_collapses(curves),
        reached={
            split: _reached(split, [run.final.scores[split].percent for run in runs])
            for split in reference.REPORTED
        },
        against=against,
        verdict=statistics.verdict(against, curves, recorded) if against else statistics.ONE_RUN,
    )


def summarise_recorded() -> Summary:
    """Summarise the recorded runs of the original, for which no images were held out."""
    curves = reference.recorded_test_curves()
    finals = [curve[-1] for curve in curves]
    return Summary(
        name="recorded original",
        accuracies={
            "final": statistics.summarise(finals),
            "highest on test": statistics.summarise([max(curve) for curve in curves]),
        },
        collapses=_collapses(curves),
        reached={"test": _reached("test", finals)},
        against=None,
        verdict=None,
    )


def _collapses(curves: Sequence[Sequence[float]]) -> statistics.Rate:
    return statistics.rate(sum(map(reference.collapsed, curves)), len(curves))


def _reached(split: str, finals: Sequence[float]) -> Reached:
    reported = reference.REPORTED[split]
    return Reached(
        reported=reported,
        interval=statistics.wilson(reported, TOTALS[split]),
        count=sum(final >= reported for final in finals),
        finals=statistics.summarise(finals),
    )


@dataclasses.dataclass(frozen=True)
class FalseAlarm:
    """How probable it is that sound runs fail a gate."""

    rate: statistics.Rate  # of the studied runs that do
    runs: int  # whose median is held against the gate
    probability: float  # that their median fails
    highest: float  # the same at the upper end of the rate's interval


def false_alarm(gate: Gate, runs: Sequence[Record]) -> FalseAlarm | None:
    """Return a gate's false alarms by the package's studies, None where none is of such runs."""
    studied = committed(runs[0])
    if not studied:
        return None
    rate = statistics.rate(
        sum(bool(gate.failures_of_run("", run)) for run in studied), len(studied)
    )
    return FalseAlarm(
        rate=rate,
        runs=len(runs),
        probability=statistics.false_alarm(rate.count / rate.total, len(runs)),
        highest=statistics.false_alarm(rate.interval.high, len(runs)),
    )
