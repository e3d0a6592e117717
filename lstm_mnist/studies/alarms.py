"""What a threshold is worth, by the committed studies: its false alarms and the drops it finds."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import scipy

from lstm_mnist.studies import statistics
from lstm_mnist.studies.gate import Gate
from lstm_mnist.studies.pooling import committed
from lstm_mnist.studies.records import Record

POWER = 0.95


@dataclasses.dataclass(frozen=True)
class Alarms:
    """How likely runs are to fail a gate."""

    rate: statistics.Rate  # of the studied runs that do
    runs: int  # whose median is judged by the gate
    probability: float  # that the median of sound runs fails
    highest: float  # the same at the upper end of the rate's interval
    drops: Mapping[str, float]  # by split: larger ones, in points, fail with probability POWER


def of(gate: Gate, like: Record, *, runs: int = 1) -> Alarms | None:
    """Return a gate's alarms by the package's studies, or None if none has such runs."""
    studied = committed(like)
    if not studied:
        return None
    epoch = gate.judged(like.config)
    rate = statistics.rate(
        sum(bool(gate.failures_of_run("", run)) for run in studied), len(studied)
    )
    return Alarms(
        rate=rate,
        runs=runs,
        probability=statistics.false_alarm(rate.count / rate.total, runs),
        highest=statistics.false_alarm(rate.interval.high, runs),
        drops={
            split: smallest_drop(
                least,
                [getattr(run, epoch).scores[split].percent for run in studied],
                runs,
            )
            for split, least in (
                ("train", gate.min_train_accuracy),
                ("test", gate.min_test_accuracy),
            )
            if least is not None
        },
    )


def smallest_drop(threshold: float, accuracies: Sequence[float], runs: int) -> float:
    """Return the drop beyond which the median of `runs` runs fails with probability POWER.

    The studied runs' accuracies stand for those of other runs. For an even number of runs the
    median is the lower one of the two in the middle.
    """
    failing = (runs - 1) // 2 + 1  # runs that must fail
    rate = scipy.stats.beta.ppf(POWER, failing, runs - failing + 1)
    highest = sorted(accuracies)[math.ceil(rate * len(accuracies)) - 1]
    return max(0.0, highest - threshold)


def told(gate: Gate, like: Record, *, runs: int = 1) -> str:
    """Return what a threshold is worth, in words."""
    alarms = of(gate, like, runs=runs)
    if alarms is None:
        return (
            "false alarm: unknown, and so is the power, because no runs with these settings were "
            f"studied by this arithmetic, {like.arithmetic}"
        )
    rate = alarms.rate
    held = "one run" if runs == 1 else f"the median of {runs}"
    text = (
        f"false alarm: {rate.count} of {rate.total} studied runs miss the threshold (95 % interval "
        f"of the rate {rate.interval.low:.0%} to {rate.interval.high:.0%}); {held} misses it with "
        f"probability {alarms.probability:.2%}, at most {alarms.highest:.2%}"
    )
    for split, drop in alarms.drops.items():
        text += (
            f"; power: a drop of the {split} accuracy is seen with probability {POWER:g} if it is "
            f"larger than {drop:.2f} points"
        )
    return text
