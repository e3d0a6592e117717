"""A recording of the original script, and how one quantity of ours compares with it."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_mnist.system import files
from lstm_mnist.system.errors import DataError

# The recording under TensorFlow 1.15.5 with seed 7 that is part of the package.
SHIPPED_TRACE = Path(__file__).parent / "traces" / "trace_seed_7.npz"
BATCH_SIZE = 100
STEPS = 550  # in an epoch
TRAIN_SIZE, TEST_SIZE = 55_000, 10_000
# An epoch's passes over the splits, in order.
PASSES = ("train", "train_evaluation", "test_evaluation")
WEIGHT_SHAPES = {
    "kernel": (28, 400),
    "recurrent_kernel": (100, 400),
    "bias": (400,),
    "dense_kernel": (100, 10),
    "dense_bias": (10,),
}
_SHAPES = {
    "first_batch/images_sum": (BATCH_SIZE,),
    "first_batch/labels": (BATCH_SIZE,),
    "first_batch/final_state_0": (BATCH_SIZE, 100),
    "first_batch/final_state_1": (BATCH_SIZE, 100),
    "first_batch/logits": (BATCH_SIZE, 10),
} | {
    f"{group}/{name}": shape
    for group in (
        "initial",
        "first_batch/gradient",
        "after_1",
        "after_10",
        "after_100",
        "after_550",
    )
    for name, shape in WEIGHT_SHAPES.items()
}
# How far a script's accuracy, a float32 mean over batches, may be from a whole count of images.
_COUNT_TOLERANCE = 0.05


class Trace(NamedTuple):
    """A recording of the original script."""

    seed: int
    label_order_sha256: list[str]  # of every pass, in the order of PASSES, epoch after epoch
    arrays: Mapping[str, NDArray[Any]]

    @property
    def epochs(self) -> int:
        """Return how many epochs were recorded."""
        return len(self.arrays["accuracy_percent"])

    def group(self, name: str) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of the five weights under a name, in the network's order."""
        return {weight: self.arrays[f"{name}/{weight}"] for weight in WEIGHT_SHAPES}

    def weights(self, step: int) -> dict[str, NDArray[np.float32]]:
        """Return the weights after 0, 1, 10, 100 or 550 steps."""
        return self.group(f"after_{step}" if step else "initial")

    def correct(self, epoch: int) -> tuple[int, int]:
        """Return the numbers of correct training and test images after an epoch (from 0)."""
        train, test = np.rint(_correct(self.arrays["accuracy_percent"])[epoch])
        return int(train), int(test)


@dataclasses.dataclass(frozen=True)
class Check:
    """One quantity of ours, compared with the recorded or expected one."""

    quantity: str
    ours: float | str
    recorded: float | str
    difference: float
    bound: float  # 0 where they must be equal

    @property
    def passed(self) -> bool:
        """Return whether the difference is within the bound; NaN is not."""
        return self.difference <= self.bound

    @classmethod
    def close(
        cls, quantity: str, ours: Any, recorded: Any, bound: float, *, relative: bool = False
    ) -> "Check":
        """Compare arrays of one shape; the check shows the entries that differ most.

        The difference is the largest absolute one, or NaN if there is any or the shapes differ.
        `relative` divides it by the largest recorded entry.
        """
        ours, recorded = (np.asarray(array, dtype=np.float64) for array in (ours, recorded))
        if ours.shape != recorded.shape:
            return cls(quantity, str(ours.shape), str(recorded.shape), float("nan"), bound)
        distances = np.abs(ours - recorded)
        worst = np.unravel_index(np.argmax(distances), distances.shape)  # NaN counts as largest
        difference = distances[worst] / (np.max(np.abs(recorded)) if relative else 1)
        return cls(quantity, float(ours[worst]), float(recorded[worst]), float(difference), bound)

    @classmethod
    def counted(cls, quantity: str, ours: int, recorded: int, bound: int = 0) -> "Check":
        """Compare counts."""
        return cls(quantity, ours, recorded, abs(ours - recorded), bound)

    @classmethod
    def settings(
        cls, quantity: str, ours: Mapping[str, Any], recorded: Mapping[str, Any]
    ) -> "Check":
        """Compare settings by name and value; the difference is the number of those that differ."""
        names = [name for name in {**recorded, **ours} if not _same(name, ours, recorded)]
        told = [
            ", ".join(f"{name}={side[name]!r}" for name in names if name in side)
            or f"{len(side)} settings"
            for side in (ours, recorded)
        ]
        return cls(quantity, told[0], told[1], len(names), 0)


def _same(name: str, ours: Mapping[str, Any], recorded: Mapping[str, Any]) -> bool:
    return name in ours and name in recorded and bool(ours[name] == recorded[name])


def load_trace(path: Path) -> Trace:
    """Load a trace from an NPZ file and the JSON file beside it.

    Raises DataError if either is unreadable, incomplete or holds impossible values.
    """
    try:
        arrays = files.read_npz(path)
    except ValueError as error:
        raise DataError(f"{path} is not a readable NPZ file: {error}") from error
    missing = [name for name in ("loss", "accuracy_percent", *_SHAPES) if name not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}")
    seed, digests = _load_passes(path.with_suffix(".json"))
    epochs = len(digests) // len(PASSES)
    shapes = {**_SHAPES, "loss": (epochs * STEPS,), "accuracy_percent": (epochs, 2)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise DataError(f"{path}: {name} has shape {arrays[name].shape}, expected {shape}")
        if arrays[name].dtype.kind not in "fu" or not np.isfinite(arrays[name]).all():
            raise DataError(f"{path}: {name} does not hold finite numbers alone")
    correct = _correct(arrays["accuracy_percent"])
    counts = np.rint(correct)
    counted = (counts >= 0) & (counts <= [TRAIN_SIZE, TEST_SIZE])
    if not counted.all() or np.max(np.abs(correct - counts)) > _COUNT_TOLERANCE:
        raise DataError(f"{path}: accuracy_percent does not hold accuracies of this data")
    return Trace(seed, digests, arrays)


def _load_passes(path: Path) -> tuple[int, list[str]]:
    """Return the seed and the passes' digests that a trace's JSON file holds."""
    try:
        fields = files.parse_json(files.read(path))
        seed = fields["seed"]
        names, digests = zip(*fields["label_order_sha256"], strict=True)
        known = all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} does not hold a trace's seed and label_order_sha256: {error!r}"
        ) from error
    if not known or type(seed) is not int or not 0 <= seed < 2**32:
        raise DataError(f"{path} does not hold a trace's seed and label_order_sha256")
    if names != PASSES * (len(names) // len(PASSES)):
        raise DataError(f"{path}: the passes must be {', '.join(PASSES)}, epoch after epoch")
    return seed, list(digests)


def _correct(accuracy_percent: NDArray[Any]) -> NDArray[np.float64]:
    """Return the numbers of correct images [epochs, 2], before rounding."""
    return accuracy_percent * np.array([TRAIN_SIZE, TEST_SIZE]) / 100
