"""A sequential test for a drop of the test accuracy, decided after as few runs as will do.

N runs of an unchanged program, of mean m and standard deviation s, predict its further runs: n of
them have a multivariate Student t distribution with N - 1 degrees of freedom, location m and scale
matrix s^2 (I + 11'/N). A change moves the location. How much likelier that makes the runs is the
evidence for the change (Wald's sequential probability ratio test). Where nothing has changed,
evidence reaches 1 / a at any time with probability a at most, and where something has, it falls to
b with probability b at most (Ville's inequality): the test may stop at either. The evidence
overshoots the bound it reaches by a part of a run's evidence, so the test stops earlier by about as
much.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from lstm_mnist.studies.calibration import Baseline
from lstm_mnist.studies.gate import (
    GOING_ON,
    IMPROVED,
    PASSED,
    REGRESSION,
    STATES,
    UNDECIDED,
    Plan,
)
from lstm_mnist.system.errors import UsageError

# One unlucky run alone must not fail the gate: runs' tails may be heavier than the model's.
MIN_RUNS = 2
# A drop may be larger than the one asked for, up to the whole accuracy: 2^k times as large, each
# half as likely as the one before.
SIZES = 2.0 ** np.arange(10)
WEIGHTS = 0.5 ** np.arange(1, 11)

Values = NDArray[np.float64]


# The share of a drop in standard deviations by which logarithms overshoot: Siegmund has 0.583 for a
# known mean and standard deviation. In simulations this is the most with which the power is still
# what it should be (docs/gate.md).
OVERSHOOT = 0.5


class Bounds(NamedTuple):
    """Natural logarithms of likelihood ratios."""

    refuted: Any  # at or below it, a change counts as refuted
    shown: Any  # at or above it, as shown


def bounds(plan: Plan, sd: Any) -> Bounds:
    """Return where the test stops, given the calibration's standard deviation, or several.

    However large the overshoot, what is likelier than no change is never refuted, and what is less
    likely never shown.
    """
    overshoot = OVERSHOOT * plan.drop / sd
    return Bounds(
        np.minimum(math.log(1 - plan.power) + overshoot, 0.0),
        np.maximum(-math.log(plan.false_alarm) - overshoot, 0.0),
    )


class Evidence(NamedTuple):
    """Natural logarithms of likelihood ratios against no change, all of one shape."""

    drop: Values  # for a drop of just the size asked for
    drops: Values  # for one of that size or larger
    rise: Values
    rises: Values


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where the test stands after some runs; accuracies and differences in percent and points."""

    state: str  # one of STATES
    count: int
    mean: float
    difference: float  # of the runs' mean from the calibration's
    margin: float  # half the difference's 95 % interval
    drop: float  # log evidence for a drop of just the size asked for
    drops: float  # log evidence for a drop of that size or larger
    rises: float  # log evidence for a rise of that size or larger
    further: int  # about how many runs will follow if nothing has changed
    most: int  # the most runs that can follow


def standing(values: Sequence[float], baseline: Baseline, plan: Plan) -> Standing:
    """Return where the test stands after runs of these test accuracies in percent."""
    rest = np.asarray(values) - baseline.mean
    count = len(values)
    found = evidence(rest.sum(), (rest**2).sum(), count, baseline, plan)
    stops = bounds(plan, baseline.sd)
    state = STATES[int(decide(found, stops, count, plan.max_runs))]
    left = plan.max_runs - count if state == GOING_ON else 0
    drift = (plan.drop / baseline.sd) ** 2 / 2
    error = baseline.sd * math.sqrt(1 / count + 1 / baseline.size)
    return Standing(
        state=state,
        count=count,
        mean=baseline.mean + float(rest.mean()),
        difference=float(rest.mean()),
        margin=float(scipy.stats.t.ppf(0.975, baseline.size - 1)) * error,
        drop=float(found.drop),
        drops=float(found.drops),
        rises=float(found.rises),
        further=min(left, max(1, math.ceil((float(found.drop) - stops.refuted) / drift))),
        most=left,
    )


def evidence(
    total: Any, squares: Any, count: Any, baseline: Baseline, plan: Plan, sd: Any = None
) -> Evidence:
    """Return the evidence in runs, given sums over their differences from the calibration's mean.

    `total` is the sum of the differences in points, `squares` that of their squares, `count` their
    number; the sums, and `sd` in place of the baseline's, may be arrays of one shape.
    """
    freedom = baseline.size - 1
    sd = baseline.sd if sd is None else sd

    def distance(shift: float) -> Any:
        moved = total - count * shift
        summed = squares - 2 * shift * total + count * shift**2
        return (summed - moved**2 / (baseline.size + count)) / sd**2

    none = np.log1p(distance(0.0) / freedom)

    def ratio(shift: float) -> Any:
        return (freedom + count) / 2 * (none - np.log1p(distance(shift) / freedom))

    def mixture(shift: float) -> Any:
        weighed = [
            ratio(shift * size) + math.log(w) for size, w in zip(SIZES, WEIGHTS, strict=True)
        ]
        return np.logaddexp.reduce(weighed, axis=0)

    drop = plan.drop
    return Evidence(ratio(-drop), mixture(-drop), ratio(drop), mixture(drop))


def decide(found: Evidence, stops: Bounds, count: Any, max_runs: int) -> NDArray[np.int64]:
    """Return the states, as indices of STATES, that evidence in `count` runs leads to.

    A refuted drop passes, unless a rise is likelier than no change: then the runs go on, to tell
    the two apart.
    """
    enough, last = np.greater_equal(count, MIN_RUNS), np.greater_equal(count, max_runs)
    possible = ~(found.drop <= stops.refuted)  # negated, so that a NaN does not pass
    return np.select(
        [
            (found.drops >= stops.shown) & enough,
            possible & last,
            possible,
            (found.rises >= stops.shown) & enough,
            (found.rise > 0) & ~last,
        ],
        [STATES.index(s) for s in (REGRESSION, UNDECIDED, GOING_ON, IMPROVED, GOING_ON)],
        STATES.index(PASSED),
    )


def check(baseline: Baseline, plan: Plan) -> None:
    """Raise UsageError where too many gates of an unchanged program would end undecided.

    After `max_runs` their mean has a normal distribution about the calibration's. All but the share
    `false_alarm` of them lie above -z errors, and there the likelihood ratio of the drop has to
    refute it: drop^2 / 2 - z error drop >= -ln(1 - power) error^2.
    """
    error = baseline.sd * math.sqrt(1 / plan.max_runs + 1 / baseline.size)
    z = float(scipy.stats.norm.isf(plan.false_alarm))
    smallest = error * (z + math.sqrt(z**2 - 2 * math.log(1 - plan.power)))
    if plan.drop < smallest:
        raise UsageError(
            f"--drop={plan.drop:g}: the calibration's {baseline.size} runs have a standard "
            f"deviation of {baseline.sd:.3f} points, so that {plan.max_runs} runs decide about "
            f"drops of {smallest:.2g} or more: take a larger --drop, or more --max_runs"
        )
