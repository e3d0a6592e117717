"""Gates whose calibrations and runs are drawn at random, to learn how often they end how."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_mnist.studies.calibration import Baseline
from lstm_mnist.studies.gate import GOING_ON, STATES, Plan
from lstm_mnist.studies.sequential import Values, bounds, decide, evidence


class Characteristics(NamedTuple):
    """How often the test ends in which state after a change, and after how many runs."""

    change: float  # of the accuracy, in points
    share: float  # of the runs that it changes
    rates: dict[str, float]  # by state
    mean_runs: float
    median_runs: float
    high_runs: float  # 95 of 100 gates take no more


def simulate(
    baseline: Baseline,
    plan: Plan,
    change: float,
    *,
    gates: int,
    share: float = 1.0,
    seed: int = 0,
    skewed: bool = False,
) -> Characteristics:
    """Simulate gates, drawing a new calibration for each.

    The runs are normal, of standard deviation `baseline.sd`, or `skewed`: their losses from 100 %
    have a gamma distribution of shape 4, whose long tail is towards low accuracies. Each run is
    changed with probability `share`.
    """
    random = np.random.default_rng(seed)
    ended = np.zeros((len(STATES), plan.max_runs + 1), np.int64)
    for size in _parts(gates, 50_000):
        state, runs = _gates(random, baseline, plan, change, share, size, skewed)
        np.add.at(ended, (state, runs), 1)
    runs = np.repeat(np.arange(plan.max_runs + 1), ended.sum(axis=0))
    return Characteristics(
        change=change,
        share=share,
        rates={state: float(row.sum() / gates) for state, row in zip(STATES, ended, strict=True)},
        mean_runs=float(runs.mean()),
        median_runs=float(np.median(runs)),
        high_runs=float(np.quantile(runs, 0.95, method="higher")),
    )


def _parts(total: int, most: int) -> list[int]:
    return [min(most, total - begun) for begun in range(0, total, most)]


def _gates(
    random: np.random.Generator,
    baseline: Baseline,
    plan: Plan,
    change: float,
    share: float,
    gates: int,
    skewed: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the state in which each simulated gate ends, and after how many runs."""

    def draw(runs: int) -> Values:
        if skewed:
            return (4 - random.gamma(4.0, size=(gates, runs))) / 2 * baseline.sd
        return random.normal(scale=baseline.sd, size=(gates, runs))

    calibration = draw(baseline.size)
    sd = calibration.std(axis=1, ddof=1)
    differences = draw(plan.max_runs) - calibration.mean(axis=1, keepdims=True)
    changed = True if share == 1 else random.random(differences.shape) < share
    differences += np.where(changed, change, 0.0)
    totals, squares = differences.cumsum(axis=1), (differences**2).cumsum(axis=1)
    states, runs = np.zeros(gates, np.int64), np.zeros(gates, np.int64)
    left = np.arange(gates)
    for count in range(1, plan.max_runs + 1):
        last = count - 1
        found = evidence(totals[left, last], squares[left, last], count, baseline, plan, sd[left])
        states[left] = decide(found, bounds(plan, sd[left]), count, plan.max_runs)
        runs[left] = count
        left = left[states[left] == STATES.index(GOING_ON)]
    return states, runs
