"""Golden values: a short training, bit for bit, from the first weights to the last scores."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from lstm_mnist import data, networks, training
from lstm_mnist.config import Config
from lstm_mnist.results import Observer
from lstm_mnist.studies.calibration import GOLDEN_STEPS, Golden
from lstm_mnist.system.errors import DivergedError

EPOCHS = 2


class BatchLosses(keras.callbacks.Callback):
    """Records the loss of every batch, which Keras by itself only averages over the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Forget the earlier batches: Keras' loss is a mean over all since the last reset."""
        self.model.reset_metrics()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record the batch's loss, taken before its update."""
        self.values.append(float(logs["loss"]))


def compute(
    config: Config,
    dataset: data.Dataset,
    build: Callable[[Config], keras.Model] = networks.build,
) -> Golden:
    """Train for two epochs of six batches, with the program's own loop, and return the results.

    The images are taken at regular distances from each split.
    """
    few = data.Dataset(*(_part(split, GOLDEN_STEPS * config.batch_size) for split in dataset))
    losses = BatchLosses()
    observer = Observer()
    observer.callbacks = [losses]
    run, model = training.run(
        dataclasses.replace(config, epochs=EPOCHS), few, observer=observer, build=build
    )
    scores = [
        np.array([score.correct, score.loss], np.float64)
        for epoch in run.epochs
        for score in epoch.scores.values()
    ]
    return Golden(tuple(losses.values), digest([*model.get_weights(), *scores]))


def _part(split: data.Split, size: int) -> data.Split:
    every = max(1, len(split.labels) // size)
    return split.part(slice(0, every * size, every))


def digest(arrays: Iterable[Any]) -> str:
    """Return the SHA-256 of arrays' bytes."""
    sha256 = hashlib.sha256()
    for array in arrays:
        sha256.update(np.asarray(array).tobytes())
    return sha256.hexdigest()


def compare(
    config: Config,
    dataset: data.Dataset,
    known: Golden,
    build: Callable[[Config], keras.Model] = networks.build,
) -> str | None:
    """Return where the results of `compute` first differ, or None if all bits are equal."""
    try:
        return _difference(compute(config, dataset, build), known)
    except DivergedError as error:
        return str(error)


def _difference(ours: Golden, theirs: Golden) -> str | None:
    pairs = zip(ours.losses, theirs.losses, strict=False)
    for step, (one, other) in enumerate(pairs, 1):
        if one != other:
            return f"the loss of step {step} is {one!r}, not {other!r}"
    if ours != theirs:
        return f"the losses of {len(ours.losses)} steps are equal, weights or scores are not"
    return None
