"""How long the matrix products alone would take at the rate that this machine reaches."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from lstm_mnist import data
from lstm_mnist.config import CLASSES, Config

# A product large enough to reach the full rate, repeated to find an undisturbed one.
SIZE, REPETITIONS = 4_096, 3


class Work(NamedTuple):
    """The operations of one epoch's matrix products, in GFLOP."""

    fit: float
    evaluate: float


def work(config: Config, dataset: data.Dataset) -> Work:
    """Count the products' operations; the element-wise rest is left out."""
    steps, features = dataset.train.pixels.shape[1:]
    gates = 4 * config.units
    lstm = 2 * steps * (features + config.units) * gates
    dense = 2 * config.units * CLASSES
    forward = lstm + dense
    # The weights' gradients cost as much as the forward pass, and the gradient of the dense layer's
    # input as much as that layer; of the LSTM's inputs only the states have a gradient.
    backward = forward + dense + 2 * steps * gates * config.units
    trained = len(dataset.train.labels)
    return Work(
        fit=trained * (forward + backward) / 1e9,
        evaluate=(trained + len(dataset.test.labels)) * forward / 1e9,
    )


def tensorflow_rate() -> float:
    """Return TensorFlow's rate of float32 products in GFLOP/s."""
    import tensorflow as tf

    matrix = tf.random.normal((SIZE, SIZE))
    return _rate(lambda: (matrix @ matrix).numpy())


def torch_rate() -> float:
    """Return PyTorch's rate of float32 products in GFLOP/s."""
    import torch

    matrix = torch.randn(SIZE, SIZE)
    return _rate(lambda: matrix @ matrix)


RATES: dict[str, Callable[[], float]] = {"TensorFlow": tensorflow_rate, "PyTorch": torch_rate}


def _rate(product: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - started)
    return round(2 * SIZE**3 / 1e9 / min(seconds), 1)
