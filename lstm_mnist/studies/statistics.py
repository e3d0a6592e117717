"""Statistics of many runs, by SciPy: pure functions of values."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from lstm_mnist.studies import reference

# In points, and fixed before any run was compared: recipes whose mean highest accuracies differ by
# less count as equal. Half the width of the reported figure's own 95 % interval.
MARGIN = 0.25
LEVEL = 0.95


class Interval(NamedTuple):
    """An interval, both ends included."""

    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Sample:
    """Figures of a sample; `sd` is the sample's, NaN for a single value."""

    count: int
    mean: float
    sd: float
    median: float
    minimum: float
    maximum: float


@dataclasses.dataclass(frozen=True)
class Rate:
    """A count out of a total, with its exact (Clopper-Pearson) interval, as fractions."""

    count: int
    total: int
    interval: Interval


@dataclasses.dataclass(frozen=True)
class AgainstRecorded:
    """Runs against the recorded runs of the original: two-sided p-values and an equivalence test.

    The original held no images out, so "highest" is each run's highest test accuracy on both sides.
    """

    final_p: float  # Mann-Whitney: finals have no normal distribution
    highest_p: float  # Welch
    collapse_p: float  # Fisher
    difference: float  # of the mean highest accuracies, ours minus theirs, points
    interval: Interval  # of the difference at 90 %: inside the margin is TOST at 5 %
    final_shift: float  # of the median finals, ours minus theirs, points
    recorded: int  # the number of recorded runs


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One word, why, and the number of runs that would settle it (None: settled, or no number)."""

    word: str  # REPRODUCED, LOWER, HIGHER or INCONCLUSIVE
    reason: str
    runs_needed: int | None = None

    @property
    def explanation(self) -> str:
        """Return why, and what would settle it."""
        needed = f"; about {self.runs_needed} runs would settle it" if self.runs_needed else ""
        return self.reason + needed


ONE_RUN = Verdict("INCONCLUSIVE", "one run has no spread; take --runs=10 or more")


def summarise(values: Sequence[float]) -> Sample:
    """Summarise a sample of at least one value."""
    array = np.asarray(values)
    return Sample(
        count=len(array),
        mean=float(array.mean()),
        sd=float(array.std(ddof=1)) if len(array) > 1 else math.nan,
        median=float(np.median(array)),
        minimum=float(array.min()),
        maximum=float(array.max()),
    )


def rate(count: int, total: int) -> Rate:
    """Return a rate with its exact interval."""
    interval = stats.binomtest(count, total).proportion_ci(LEVEL, method="exact")
    return Rate(count, total, Interval(interval.low, interval.high))


def wilson(percent: float, total: int) -> Interval:
    """Return the Wilson interval, in percent, of an accuracy over `total` images."""
    interval = stats.binomtest(round(percent / 100 * total), total).proportion_ci(
        LEVEL, method="wilson"
    )
    return Interval(100 * interval.low, 100 * interval.high)


def range_confidence(count: int) -> float:
    """Return the probability that one more value falls into the range of `count` values.

    The range is a prediction interval for a single run whatever the distribution, and finals are
    far from normal.
    """
    return (count - 1) / (count + 1)


def against_recorded(
    curves: Sequence[Sequence[float]], recorded: Sequence[Sequence[float]]
) -> AgainstRecorded:
    """Compare test accuracies after each epoch, in percent, with the recorded ones.

    Needs two runs on either side.
    """
    finals, recorded_finals = ([curve[-1] for curve in side] for side in (curves, recorded))
    highest, recorded_highest = ([max(curve) for curve in side] for side in (curves, recorded))
    ours, theirs = (sum(map(reference.collapsed, side)) for side in (curves, recorded))
    welch = stats.ttest_ind(highest, recorded_highest, equal_var=False)
    interval = welch.confidence_interval(0.90)
    return AgainstRecorded(
        final_p=float(stats.mannwhitneyu(finals, recorded_finals).pvalue),
        highest_p=float(welch.pvalue),
        collapse_p=float(
            stats.fisher_exact(
                [[ours, len(curves) - ours], [theirs, len(recorded) - theirs]]
            ).pvalue
        ),
        difference=float(np.mean(highest) - np.mean(recorded_highest)),
        interval=Interval(float(interval.low), float(interval.high)),
        final_shift=float(np.median(finals) - np.median(recorded_finals)),
        recorded=len(recorded),
    )


def verdict(
    result: AgainstRecorded, curves: Sequence[Sequence[float]], recorded: Sequence[Sequence[float]]
) -> Verdict:
    """Judge runs against the recorded ones.

    REPRODUCED: the mean highest accuracies are equivalent within MARGIN, and neither finals nor
    collapse rates differ (5 %, Holm's correction for the two). LOWER, HIGHER: they differ.
    """
    low, high = result.interval
    p = min(2 * min(result.final_p, result.collapse_p), 1.0)  # Holm: the smaller of two, doubled
    if low > MARGIN or high < -MARGIN:
        return Verdict(
            "HIGHER" if low > 0 else "LOWER",
            f"mean highest accuracy differs by {result.difference:+.2f} points, more than {MARGIN}",
        )
    if p < 1 - LEVEL:
        return Verdict(
            "HIGHER" if result.final_shift > 0 else "LOWER",
            f"final accuracies differ (median {result.final_shift:+.2f} points, p = {p:.2g})",
        )
    if low > -MARGIN and high < MARGIN:
        return Verdict(
            "REPRODUCED",
            f"mean highest accuracy within {MARGIN} points (90 % interval {low:+.2f} to "
            f"{high:+.2f}); finals and collapses do not differ (p = {p:.2g})",
        )
    needed = runs_needed(result.difference, curves, recorded)
    return Verdict(
        "INCONCLUSIVE",
        f"the 90 % interval of the difference, {low:+.2f} to {high:+.2f} points, reaches beyond "
        f"the margin of {MARGIN}"
        + ("" if needed else f"; no number of runs settles it against {len(recorded)} recorded"),
        needed,
    )


def judge(curves: Sequence[Sequence[float]], recorded: Sequence[Sequence[float]]) -> Verdict:
    """Judge test accuracies after each epoch, in percent, even those of a single run."""
    if len(curves) < 2:
        return ONE_RUN
    return verdict(against_recorded(curves, recorded), curves, recorded)


def runs_needed(
    difference: float, curves: Sequence[Sequence[float]], recorded: Sequence[Sequence[float]]
) -> int | None:
    """Return how many runs would bring the 90 % interval inside or outside the margin, if any can.

    Takes the difference and the spread seen so far for the true ones.
    """
    room = abs(MARGIN - abs(difference))
    theirs = np.var([max(curve) for curve in recorded], ddof=1) / len(recorded)
    ours = np.var([max(curve) for curve in curves], ddof=1)
    left = (room / stats.norm.ppf(LEVEL)) ** 2 - theirs
    return math.ceil(ours / left) if left > 0 else None


def false_alarm(rate: float, runs: int) -> float:
    """Return how probable it is that the median of `runs` runs fails a threshold.

    A single run fails it with probability `rate`. For an even number of runs the median is the
    lower one of the two in the middle.
    """
    return float(stats.binom.sf((runs - 1) // 2, runs, rate))
