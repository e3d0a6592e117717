"""How often each verdict is given, by simulation: `python -m benchmarks.characteristics`.

Runs are drawn like the recorded ones. The mean of the early epochs is normal, with their standard
deviation. A run falls with a given probability; when, and where it ends, are drawn from the
recorded runs that fell, and the ends of the others from those that did not, with a normal jitter
so that they do not tie. A shift is added to the early mean and to the ends of runs that do not
fall. They are compared with as many runs as the protocol plans to record, of the recorded rate.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks import record
from lstm_mnist.studies import protocol, reference, statistics
from lstm_mnist.system import files

PATH = record.FOLDER / "characteristics.json"
SIMULATIONS = 300
COUNTS = (40, 20)  # runs of a study
JITTER = 0.05  # points
# Shift of the early mean in points, and probability of a fall; None: that of the recorded runs.
SCENARIOS: Sequence[tuple[float, float | None]] = (
    (0.0, None),
    (-0.1, None),
    (-0.25, None),
    (-0.5, None),
    (0.0, 0.0),
    (0.0, 0.3),
    (0.0, 0.55),
    (0.0, 0.9),
)
WORDS = ("REPRODUCED", "LOWER", "HIGHER", "DIFFERENT", "INCONCLUSIVE")

Draw = Callable[[int, float, float], statistics.Measures]


class Recorded(NamedTuple):
    """The recorded figures that drawn runs resemble."""

    early_mean: float
    early_sd: float
    falls: NDArray[np.int64]  # epochs of first falls
    fallen_ends: NDArray[np.float64]
    other_ends: NDArray[np.float64]

    @property
    def rate(self) -> float:
        """Return the share of runs that fell."""
        return len(self.falls) / (len(self.falls) + len(self.other_ends))


def recorded() -> Recorded:
    """Return the recorded runs' figures."""
    curves = reference.recorded_curves("test")
    early = [statistics.early(curve) for curve in curves]
    falls = [statistics.first_fall(curve) for curve in curves]
    ends = [curve[-1] for curve in curves]
    return Recorded(
        early_mean=float(np.mean(early)),
        early_sd=float(np.std(early, ddof=1)),
        falls=np.array([fall for fall in falls if fall]),
        fallen_ends=np.array([end for end, fall in zip(ends, falls, strict=True) if fall]),
        other_ends=np.array([end for end, fall in zip(ends, falls, strict=True) if not fall]),
    )


def drawing(like: Recorded, random: np.random.Generator) -> Draw:
    """Return a function that draws runs, by number, shift of accuracy and rate of falls."""

    def draw(count: int, shift: float, rate: float) -> statistics.Measures:
        falls = random.random(count) < rate
        which = random.integers(len(like.falls), size=count)
        stood = random.choice(like.other_ends, size=count) + shift
        final = np.where(falls, like.fallen_ends[which], stood)
        return statistics.Measures(
            early=random.normal(like.early_mean + shift, like.early_sd, count),
            falls=stats.CensoredData.right_censored(
                np.where(falls, like.falls[which], protocol.EPOCHS), ~falls
            ),
            fallen=int(falls.sum()),
            final=final + random.normal(0, JITTER, count),
        )

    return draw


def simulate(simulations: int) -> list[dict[str, Any]]:
    """Return for each number of runs and each scenario how often each verdict is given."""
    like = recorded()
    draw = drawing(like, np.random.default_rng(0))
    found = []
    for count in COUNTS:
        for shift, rate in SCENARIOS:
            words = Counter(
                statistics.compare(
                    draw(count, shift, like.rate if rate is None else rate),
                    draw(protocol.RECORDED, 0.0, like.rate),
                    resamples=0,
                ).word
                for _ in range(simulations)
            )
            found.append({"runs": count, "shift": shift, "rate": rate, "words": dict(words)})
    return found


def table(result: dict[str, Any]) -> str:
    """Return the table in Markdown: how often each verdict is given, in percent."""
    lines = [
        f"| runs | early mean, points | share that falls | {' | '.join(WORDS)} | studies |",
        f"|--:|--:|--:|{'--:|' * len(WORDS)}--:|",
    ]
    for found in result["scenarios"]:
        rate = result["recorded_rate"] if found["rate"] is None else found["rate"]
        shift = f"{found['shift']:+g}" if found["shift"] else "0"
        shares = (found["words"].get(word, 0) / result["simulations"] for word in WORDS)
        lines.append(
            f"| {found['runs']} | {shift} | {100 * rate:.0f} % | "
            + " | ".join(f"{100 * value:.1f}" for value in shares)
            + f" | {result['simulations']:,} |"
        )
    return "\n".join(lines) + "\n"


def read() -> dict[str, Any]:
    """Return the committed result."""
    result: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return result


def main() -> None:
    """Simulate, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.characteristics")
    parser.add_argument("--simulations", type=int, default=SIMULATIONS)
    parser.add_argument("--output", type=Path, default=PATH)
    arguments = parser.parse_args()
    like = recorded()
    result = {
        "simulations": arguments.simulations,
        "recorded_runs": len(like.falls) + len(like.other_ends),
        "recorded_rate": like.rate,
        "early_sd": like.early_sd,
        "planned_recorded": protocol.RECORDED,
        "scenarios": simulate(arguments.simulations),
    }
    files.write_json(arguments.output, result)
    print(table(result), end="")


if __name__ == "__main__":
    main()
