"""What `check` and the others tell of a threshold: false alarms, and the drops that it sees."""

import math
import re
from pathlib import Path

import pytest
from helpers import ROOT, without_tensorflow

from lstm_mnist.studies import alarms, records, statistics

STABLE = ROOT / "lstm_mnist" / "results" / "stable.json"


@pytest.mark.parametrize("runs", [1, 2, 5, 20])
def test_larger_drops_are_seen_and_smaller_ones_are_not(runs: int) -> None:
    finals = [run.final.test.percent for run in records.read([STABLE])]
    smallest = alarms.smallest_drop(98.27, finals, runs)

    def power(drop: float) -> float:
        missing = sum(final - drop < 98.27 for final in finals)
        return statistics.false_alarm(missing / len(finals), runs)

    assert power(smallest + 0.001) >= alarms.POWER > power(smallest - 0.001)


def test_threshold_that_nobody_reaches_sees_every_drop() -> None:
    assert alarms.smallest_drop(99.4, [99.0, 99.1], runs=1) == 0


def test_check_tells_of_false_alarms_and_power(tmp_path: Path) -> None:
    done = without_tensorflow(
        tmp_path, "check", str(STABLE), "--min_test_accuracy=98.27", "--gate=final"
    )
    assert done.returncode == 0, done.stderr
    finals = sorted(run.final.test.percent for run in records.read([STABLE]))
    (told,) = re.findall(r"^stable: (.*)$", done.stdout, re.MULTILINE)
    assert told.startswith(f"false alarm: 0 of {len(finals)} studied runs miss the threshold (95 %")
    # So many of the runs must be below the threshold when all are lower by the drop.
    last = finals[math.ceil(0.95 * len(finals)) - 1]
    assert told.endswith(
        "power: a drop of the test accuracy is seen with probability 0.95 if it is larger than "
        f"{last - 98.27:.2f} points"
    )
    none = without_tensorflow(tmp_path, "check", str(STABLE))
    assert "false alarm" not in none.stdout
