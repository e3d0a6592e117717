"""Functions with which a notebook or a test trains, evaluates, verifies and gates.

All that this module defines or takes over by name can be imported from `lstm_mnist` itself.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_mnist import config
from lstm_mnist.config import Config as Config
from lstm_mnist.config import variant as variant
from lstm_mnist.recurrence import library
from lstm_mnist.results import Run as Run
from lstm_mnist.results import Score as Score
from lstm_mnist.studies import calibration
from lstm_mnist.studies.gate import Gate as Gate
from lstm_mnist.studies.gate import Plan as Plan
from lstm_mnist.studies.outcome import Outcome as Outcome
from lstm_mnist.system import runtime
from lstm_mnist.system.errors import UsageError
from lstm_mnist.system.errors import UserError as UserError

if TYPE_CHECKING:
    import keras
    import numpy as np
    from numpy.typing import NDArray

    from lstm_mnist.data import Dataset, Split
    from lstm_mnist.recording import Check
    from lstm_mnist.studies.records import Record


_PLAN = Plan()


def start(device: str = "auto", kernel: str = "auto") -> dict[str, Any]:
    """Start TensorFlow as the program does, and return what it runs on.

    Call it once, before anything else imports TensorFlow. `device` is "auto", "cpu" or "gpu",
    `kernel` "auto", "compiled" or "keras"; a Config's kernel must be the same. Raises UserError
    where the machine lacks what is asked for, or TensorFlow was imported with other settings.
    """
    return runtime.start(device, library.choose(kernel))


def load(data_dir: str | None = None) -> "Dataset":
    """Return MNIST's three splits, as `read_data_sets` made them; no connection is attempted.

    `data_dir` is TFDS's data directory (None: its default place). Raises UserError.
    """
    from lstm_mnist import data

    return data.load(data_dir)


def build(settings: Config) -> "keras.Model":
    """Return a new network: images [B, 28, 28] in, logits [B, 10] out, both float32."""
    from lstm_mnist import networks

    return networks.build(settings)


def train(settings: Config, dataset: "Dataset") -> tuple[Run, "keras.Model"]:
    """Train a new network; return every epoch's results, and the network after the last one.

    Raises UserError where a loss or a weight is not finite.
    """
    from lstm_mnist import training

    return training.run(settings, dataset)


def evaluate(model: "keras.Model", split: "Split") -> Score:
    """Return how many of a split's images a network gets right, and its mean loss in nats."""
    from lstm_mnist import training

    return training.evaluate(model, split)


def predict(model: "keras.Model", images: "NDArray[Any]") -> "NDArray[np.float32]":
    """Return a network's logits [N, 10] for images [N, 28, 28].

    Images are floating-point numbers from 0 to 1, or uint8 from 0 to 255. Raises UsageError for
    others.
    """
    import numpy as np

    from lstm_mnist import training

    shape = (config.STEPS, config.FEATURES)
    if images.ndim != 3 or images.shape[1:] != shape or not len(images):
        raise UsageError(f"images have the shape {images.shape}, not (N, {shape[0]}, {shape[1]})")
    if images.dtype != np.uint8:
        if not np.issubdtype(images.dtype, np.floating):
            raise UsageError(
                f"images are of {images.dtype}: make them uint8, or floats from 0 to 1"
            )
        if not (images.min() >= 0 and images.max() <= 1):  # negated, so that a NaN fails
            raise UsageError("images are not from 0 to 1")

    return training.predict(model, images)


def load_model(path: Path | str) -> "keras.Model":
    """Return the network of a run's `final.keras` or `best.keras`. Raises UserError."""
    from lstm_mnist.runs import model_files

    return model_files.load(Path(path))


def gate_change(
    build: Callable[[Config], "keras.Model"],
    dataset: "Dataset",
    *,
    against: Path | None = None,
    plan: Plan = _PLAN,
    seed: int = 0,
) -> Outcome:
    """Train runs of a network of yours until a drop of the test accuracy is shown or refuted.

    `build` returns the network (images [B, 28, 28] in, logits [B, 10] out) for the settings of the
    runs in `against`, a file written by `gate --calibrate` (None: the package's own). The runs have
    the seeds `seed`, `seed + 1` and so on. Raises UserError.
    """
    from lstm_mnist.recurrence import layers
    from lstm_mnist.studies import gating

    known = calibration.read(against or calibration.COMMITTED)
    kernel = known.config.kernel
    if runtime.started_for() != library.choose(kernel):
        raise UsageError(f'call start(kernel="{kernel}") first, for which {known.name} was made')
    arithmetic = library.arithmetic(layers.choose(kernel))
    known.check(calibration.on(arithmetic, layers.device()))
    known.check_seeds(range(seed, seed + plan.max_runs))
    return gating.gate(known, dataset, build, plan, seed)


def verify(
    dataset: "Dataset", trace: Path | None = None, *, kernel: str = "auto"
) -> Iterator["Check"]:
    """Replay a recording of the original and yield one Check per quantity, some of which take long.

    `trace` is an NPZ file, its JSON file beside it (None: the one that is part of the package).
    Every Check must have `passed`. Raises UserError.
    """
    from lstm_mnist import recording, verification

    settings = dataclasses.replace(verification.ORIGINAL, kernel=kernel)
    return verification.checks(
        recording.load_trace(trace or recording.SHIPPED_TRACE), dataset, settings
    )


def read(*paths: Path | str) -> "list[Record]":
    """Return finished runs from their folders, from folders of them, or from study files.

    Raises UserError, also for runs that are incomplete, not finite or inconsistent.
    """
    from lstm_mnist.studies import records

    return records.read(map(Path, paths))
