"""What the document reports, what the original did when recorded, and how a run compares."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_mnist.studies import evidence
from lstm_mnist.studies.protocol import RECORDED, has_fallen
from lstm_mnist.system import files
from lstm_mnist.system.errors import DataError

if TYPE_CHECKING:
    from lstm_mnist.results import Epoch, Run

DOCUMENT = (
    "https://github.com/LiuinStein/BlogPost/blob/72e9c856d15f367852ca3b5be994337ae2ff88ed/"
    "anthologies/ml/tensorflow/%E5%BE%AA%E7%8E%AF%E7%A5%9E%E7%BB%8F%E7%BD%91%E7%BB%9C.md"
)
# The document's closing sentence: accuracies after its 30 iterations, in percent, "about".
REPORTED_EPOCHS = 30
REPORTED_TRAIN = 98.51
REPORTED_TEST = 98.27

REPORTED = {"train": REPORTED_TRAIN, "test": REPORTED_TEST}

# Complete runs of the original script under TensorFlow 1.15.5, as the protocol plans them.
_RECORDINGS = Path(__file__).parents[1] / "traces" / "recorded_runs.json"


def recorded_curves(split: str) -> list[list[float]]:
    """Return the recorded runs' accuracies on a split after each epoch, in percent.

    Raises DataError where the file does not hold all of them.
    """
    column = [*REPORTED].index(split)
    return [[accuracies[column] for accuracies in curve] for curve in _recorded(_RECORDINGS)]


@functools.cache
def _recorded(path: Path) -> list[list[list[float]]]:
    try:
        return evidence.recorded_runs(files.read(path), RECORDED, REPORTED_EPOCHS)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} does not hold the recorded runs: {error}") from error


def collapsed(test_curve: Sequence[float]) -> bool:
    """Return whether test accuracies in percent end so far below their highest."""
    return has_fallen(max(test_curve), test_curve[-1])


def summary(run: "Run") -> str:
    """Return a table of the reported accuracies, a run's final and its best epoch."""
    header = f"{'accuracy %':34} {'epoch':>5} {'train':>7} {'held out':>9} {'test':>7}"
    reported = (
        f"{'reported by the document':34} {REPORTED_EPOCHS:5} "
        f"{REPORTED_TRAIN:7.2f} {'-':>9} {REPORTED_TEST:7.2f}"
    )
    return "\n".join(
        [
            header,
            reported,
            _row("this run, final epoch", run.final),
            _row("this run, best epoch on held out", run.best),
        ]
    )


def _row(name: str, epoch: "Epoch") -> str:
    return (
        f"{name:34} {epoch.number:5} {epoch.train.percent:7.2f} "
        f"{epoch.validation.percent:9.2f} {epoch.test.percent:7.2f}"
    )
