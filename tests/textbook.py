"""Statistics written again from their formulas, without the package's code."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


def falls(test: Array, points: float = 2) -> tuple[NDArray[Any], Any]:
    """Return the epochs of first falls, or the last ones, and whether runs fall."""
    # A network that names every image 0 has fallen.
    nothing = np.full((len(test), 1), 9.80 + points)
    highest = np.maximum.accumulate(np.hstack([nothing, test]), axis=1)[:, :-1]
    low: NDArray[np.bool_] = test <= highest - points
    fell = np.any(low, axis=1)
    return np.where(fell, low.argmax(axis=1) + 1, test.shape[1]), fell


def exact(count: int, total: int) -> tuple[float, float]:
    low = stats.beta.ppf(0.025, count, total - count + 1) if count else 0.0
    high = stats.beta.ppf(0.975, count + 1, total - count) if count < total else 1.0
    return 100 * low, 100 * high


def wilson(count: float, total: int) -> tuple[float, float]:
    z, p = stats.norm.ppf(0.975), count / total
    half = z * np.sqrt(p * (1 - p) / total + (z / 2 / total) ** 2)
    centre = p + z * z / 2 / total
    return (centre - half) / (1 + z * z / total), (centre + half) / (1 + z * z / total)


def newcombe(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[float, float, float]:
    p, q = one.mean(), other.mean()
    (a, b), (c, d) = (wilson(each.sum(), len(each)) for each in (one, other))
    low = p - q - np.sqrt((p - a) ** 2 + (d - q) ** 2)
    high = p - q + np.sqrt((b - p) ** 2 + (q - c) ** 2)
    return 100 * (p - q), 100 * low, 100 * high


def welch(one: Array, other: Array, level: float) -> tuple[float, float, float, float]:
    """Return the difference of the means, its interval and the p-value."""
    parts = [each.var(ddof=1) / len(each) for each in (one, other)]
    error = np.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(each) - 1) for part, each in zip(parts, (one, other), strict=True)
    )
    difference = one.mean() - other.mean()
    half = stats.t.ppf(0.5 + level / 2, freedom) * error
    p = 2 * stats.t.sf(abs(difference) / error, freedom)
    return difference, difference - half, difference + half, p


def logrank(one: Array, other: Array) -> tuple[float, float]:
    """Return how many more runs of the first group fall than expected, and the p-value."""
    (times, fell), (others, others_fell) = falls(one), falls(other)
    more = variance = 0.0
    for time in np.unique([*times[fell], *others[others_fell]]):
        risk, risk_others = np.sum(times >= time), np.sum(others >= time)
        now = np.sum(fell & (times == time))
        both = now + np.sum(others_fell & (others == time))
        all_at_risk = risk + risk_others
        more += now - both * risk / all_at_risk
        if all_at_risk > 1:
            variance += (
                both
                * (risk / all_at_risk)
                * (risk_others / all_at_risk)
                * (all_at_risk - both)
                / (all_at_risk - 1)
            )
    return more, float(stats.chi2.sf(more**2 / variance, 1)) if variance else 1.0


def above(one: Array, other: Array) -> tuple[float, float, float]:
    """Return how often a value is above another, in percent, and its bootstrap interval."""

    def share(a: Array, b: Array) -> float:
        return 100 * float(np.mean(np.sign(a[:, None] - b[None]) / 2 + 0.5))

    random = np.random.default_rng(1)
    again = [
        share(random.choice(one, len(one)), random.choice(other, len(other))) for _ in range(4000)
    ]
    low, high = np.percentile(again, [2.5, 97.5])
    return share(one, other), low, high


def holm(values: list[float]) -> list[float]:
    order = np.argsort(values)
    corrected = np.maximum.accumulate(
        [(len(values) - rank) * values[i] for rank, i in enumerate(order)]
    )
    result = np.empty(len(values))
    result[order] = np.minimum(corrected, 1)
    return [*result]
