"""The same training with several libraries, each as its own users would write it.

Every module named in LABELS has a class Contender. All initialise as Keras does, are fed the same
batches, and compute in float32.
"""

import importlib
import time
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lstm_mnist import data
from lstm_mnist.config import Config
from lstm_mnist.order import epoch_orders

LABELS = {
    "ours": "this project",
    "stock_keras": "stock Keras",
    "pytorch": "PyTorch",
    "jax_scan": "JAX",
}


class Contender(Protocol):
    """A network in training."""

    def __init__(self, config: Config, dataset: data.Dataset) -> None:
        """Build the network; what is compiled at first use is compiled in the first epoch."""

    def train_epoch(self) -> None:
        """Take one step per batch of the next of `orders`, and return when all are done."""

    def evaluate(self) -> tuple[float, float]:
        """Return the accuracy over all training and over all test images."""


class Timing(NamedTuple):
    """An epoch's seconds, and the accuracy after it."""

    fit_seconds: float
    evaluate_seconds: float
    test_accuracy: float

    def __str__(self) -> str:
        return (
            f"fit {self.fit_seconds:.2f} s, evaluate {self.evaluate_seconds:.2f} s, "
            f"test accuracy {self.test_accuracy:.2%}"
        )


def orders(config: Config, dataset: data.Dataset) -> Iterator[NDArray[np.int64]]:
    """Yield, for every epoch of the run, the indices of its batches [steps, B]."""
    epochs = epoch_orders(
        config.seed,
        train_size=len(dataset.train.labels),
        test_size=len(dataset.test.labels),
        batch_size=config.batch_size,
    )
    return (order.train.reshape(-1, config.batch_size) for order in epochs)


def steps(config: Config, dataset: data.Dataset) -> int:
    """Return the number of steps in an epoch."""
    return len(dataset.train.labels) // config.batch_size


def start(name: str, config: Config, dataset: data.Dataset) -> None:
    """Make a contender the one that this process measures."""
    global _contender
    module = importlib.import_module(f"{__name__}.{name}")
    _contender = module.Contender(config, dataset)


def epoch() -> Timing:
    """Train this process's contender for one epoch, evaluate it and return the time of both."""
    started = time.perf_counter()
    _contender.train_epoch()
    trained = time.perf_counter()
    _, test_accuracy = _contender.evaluate()
    return Timing(trained - started, time.perf_counter() - trained, test_accuracy)


_contender: Contender
