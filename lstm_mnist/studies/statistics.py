"""Statistics of many runs, by SciPy: pure functions of values.

docs/protocol.md says what is measured, which tests are made, and how the verdict follows.
"""

import dataclasses
import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from lstm_mnist.studies import protocol
from lstm_mnist.studies.protocol import LEVEL, MARGIN

RESAMPLES = 2_000  # of a bootstrap
MEASURES = ("early mean", "first fall", "final")

Curve = Sequence[float]  # a run's accuracies after each epoch, in percent
Curves = Sequence[Curve]


class Measures(NamedTuple):
    """What is measured of each run of a group."""

    early: NDArray[np.float64]  # mean accuracy over the early epochs, percent
    # Epoch of the first fall; without one, censored at the last epoch. The type is a string because
    # its first use makes SciPy import `stats`, which takes most of a second.
    falls: "scipy.stats.CensoredData"
    fallen: int  # runs that fall
    final: NDArray[np.float64]  # percent


class Interval(NamedTuple):
    """An interval, both ends included."""

    low: float
    high: float


NOTHING = Interval(math.nan, math.nan)


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

    @property
    def fraction(self) -> float:
        """Return the rate itself."""
        return self.count / self.total


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs against others, by each measure; differences are the runs' minus the others'.

    Intervals are at 95 %, p-values two-sided.
    """

    count: int  # of runs
    others: int
    difference: float  # of the mean early accuracies, points
    difference_interval: Interval  # Welch
    equivalence_interval: Interval  # the same at 90 %: inside the margin is TOST at 5 %
    falls: float  # difference of the shares of runs that fall
    falls_interval: Interval  # Newcombe
    sooner: float  # log-rank statistic: above 0, the runs fall sooner or more often
    above: float  # probability that a run ends above another, where ties count half
    above_interval: Interval  # bootstrap
    p: Mapping[str, float]  # by measure: Welch, log-rank, Mann-Whitney

    @property
    def corrected(self) -> dict[str, float]:
        """Return the p-values by measure after Holm's correction."""
        return holm(self.p)

    @property
    def equivalent(self) -> bool:
        """Return whether the mean early accuracies are equivalent."""
        low, high = self.equivalence_interval
        return low > -MARGIN and high < MARGIN

    @property
    def signs(self) -> dict[str, int]:
        """Return by measure 1 where the runs are better, -1 where the others are."""
        values = (self.difference, -self.sooner, self.above - 0.5)
        return {name: int(np.sign(value)) for name, value in zip(MEASURES, values, strict=True)}

    @property
    def differing(self) -> dict[str, int]:
        """Return the signs of the measures that differ.

        An equivalent early mean does not count, even if it is certain not to be equal.
        """
        return {
            name: self.signs[name]
            for name, p in self.corrected.items()
            if p < 1 - LEVEL and not (name == "early mean" and self.equivalent)
        }

    @property
    def word(self) -> str:
        """Return the verdict's word: REPRODUCED, LOWER, HIGHER, DIFFERENT or INCONCLUSIVE."""
        signs = {*self.differing.values()}
        if signs == {1}:
            return "HIGHER"
        if signs == {-1}:
            return "LOWER"
        if signs:
            return "DIFFERENT"
        return "REPRODUCED" if self.equivalent else "INCONCLUSIVE"


def early(curve: Curve) -> float:
    """Return a run's mean accuracy over the early epochs, in percent."""
    first, last = protocol.EARLY
    return float(np.mean(curve[first - 1 : last]))


def first_fall(curve: Curve) -> int | None:
    """Return the first epoch far below the highest accuracy before it, None without one.

    A network that names every image 0, as a diverged one does, has fallen in any epoch.
    """
    highest = protocol.ALL_NAMED_0 + protocol.FALL
    for epoch, accuracy in enumerate(curve, 1):
        if protocol.has_fallen(highest, accuracy):
            return epoch
        highest = max(highest, accuracy)
    return None


def fallen(curves: Curves) -> Rate:
    """Return how many runs fall."""
    return rate(sum(first_fall(curve) is not None for curve in curves), len(curves))


def measures(curves: Curves) -> Measures:
    """Measure runs that are at least as long as the early epochs.

    Raises ValueError for an accuracy that is not finite, which every test would take its own way.
    """
    if not all(map(math.isfinite, itertools.chain(*curves))):
        raise ValueError("an accuracy is not finite")
    falls = [first_fall(curve) for curve in curves]
    times = [fall or len(curve) for fall, curve in zip(falls, curves, strict=True)]
    censored = [fall is None for fall in falls]
    return Measures(
        early=np.array([early(curve) for curve in curves]),
        falls=scipy.stats.CensoredData.right_censored(times, censored),
        fallen=len(curves) - sum(censored),
        final=np.array([curve[-1] for curve in curves]),
    )


def compare(ours: Measures, theirs: Measures, *, resamples: int = RESAMPLES) -> Comparison:
    """Compare two or more runs with two or more others, all of the same number of epochs.

    Without `resamples` the bootstrap's interval is NaN.
    """
    with warnings.catch_warnings():
        # For equal values, such as those of runs that diverged at once.
        warnings.simplefilter("ignore", RuntimeWarning)
        welch = scipy.stats.ttest_ind(ours.early, theirs.early, equal_var=False)
    difference = float(np.mean(ours.early) - np.mean(theirs.early))
    fallen, others_fallen = (rate(side.fallen, len(side.final)) for side in (ours, theirs))
    sooner, falls_p = _logrank(ours, theirs)
    finals = ours.final, theirs.final
    return Comparison(
        count=fallen.total,
        others=others_fallen.total,
        difference=difference,
        difference_interval=_interval(welch.confidence_interval(LEVEL)),
        equivalence_interval=_interval(welch.confidence_interval(2 * LEVEL - 1)),
        falls=fallen.fraction - others_fallen.fraction,
        falls_interval=newcombe(fallen, others_fallen),
        sooner=sooner,
        above=float(share_above(*finals)),
        above_interval=_bootstrap(*finals, resamples) if resamples else NOTHING,
        p={
            # Without any spread the test has no value.
            "early mean": float(welch.pvalue if np.isfinite(welch.pvalue) else not difference),
            "first fall": falls_p,
            "final": float(scipy.stats.mannwhitneyu(*finals).pvalue),
        },
    )


def _logrank(ours: Measures, theirs: Measures) -> tuple[float, float]:
    """Return the log-rank statistic and its p-value; where no fall tells the groups apart, 0 and 1.

    Above 0, the first group falls sooner or more often than the other.
    """
    if not ours.fallen + theirs.fallen:
        return 0.0, 1.0
    with np.errstate(invalid="ignore"):
        result = scipy.stats.logrank(ours.falls, theirs.falls)
    known = math.isfinite(result.statistic)
    return (float(result.statistic), float(result.pvalue)) if known else (0.0, 1.0)


def share_above(
    values: NDArray[np.float64], others: NDArray[np.float64], axis: int = -1
) -> NDArray[np.float64]:
    """Return how probable it is that a value is above another; ties count half.

    `axis`, the last, is what SciPy's bootstrap asks for.
    """
    one, other = values[..., :, np.newaxis], others[..., np.newaxis, :]
    return np.mean((one > other) + 0.5 * (one == other), axis=(-2, -1))


def _bootstrap(
    values: NDArray[np.float64], others: NDArray[np.float64], resamples: int
) -> Interval:
    """Return the percentile interval of `share_above`, as rliable computes it."""
    result = scipy.stats.bootstrap(
        (values, others),
        share_above,
        vectorized=True,
        axis=-1,
        n_resamples=resamples,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return _interval(result.confidence_interval)


def _interval(found: Any) -> Interval:
    return Interval(float(found.low), float(found.high))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Return p-values after Holm's correction, the smallest first."""
    corrected, highest = {}, 0.0
    for rank, name in enumerate(sorted(p, key=lambda name: p[name])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[name]))
        corrected[name] = highest
    return corrected


def newcombe(one: Rate, other: Rate) -> Interval:
    """Return the interval of the difference of two rates, from their Wilson intervals.

    Newcombe 1998, Statistics in Medicine 17, method 10.
    """
    p, q = one.fraction, other.fraction
    (low, high), (other_low, other_high) = (
        _wilson(each.count, each.total) for each in (one, other)
    )
    return Interval(
        p - q - math.hypot(p - low, other_high - q), p - q + math.hypot(high - p, q - other_low)
    )


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
    return Rate(count, total, _proportion(count, total, "exact"))


def wilson(percent: float, total: int) -> Interval:
    """Return the Wilson interval, in percent, of an accuracy over `total` images."""
    low, high = _wilson(round(percent / 100 * total), total)
    return Interval(100 * low, 100 * high)


def _wilson(count: int, total: int) -> Interval:
    return _proportion(count, total, "wilson")


def _proportion(count: int, total: int, method: str) -> Interval:
    return _interval(scipy.stats.binomtest(count, total).proportion_ci(LEVEL, method=method))


def range_confidence(count: int) -> float:
    """Return the probability that one more value falls into the range of `count` values.

    The range is a prediction interval for a single run whatever the distribution, and finals are
    far from normal.
    """
    return (count - 1) / (count + 1)


def false_alarm(rate: float, runs: int) -> float:
    """Return how probable it is that the median of `runs` runs fails a threshold.

    A single run fails it with probability `rate`. For an even number of runs the median is the
    lower one of the two in the middle.
    """
    return float(scipy.stats.binom.sf((runs - 1) // 2, runs, rate))
