"""Probes of a network while it trains: loss, norm of the gradient, size of the cell states."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from lstm_mnist import data, networks

PROBE_SIZE = 500


class Point(NamedTuple):
    """One probe of the network, always on the same training images."""

    step: int  # steps taken
    loss: float  # mean softmax cross-entropy, nats
    gradient_norm: float  # of the loss, over all weights
    cell_mean: float  # mean and largest |c|, or |s| of simple RNNs, after the last time step
    cell_max: float


class Recorder(keras.callbacks.Callback):
    """Probes the network whenever Keras returns to Python: every 25 steps in a run.

    `points` are those from before a run was interrupted, as sequences of fields.
    """

    def __init__(self, train: data.Split, points: Iterable[Sequence[Any]] = ()) -> None:
        super().__init__()
        self.points = [Point(*point) for point in points]
        self._images = tf.constant(data.scale(train.pixels[:PROBE_SIZE]))
        self._labels = tf.constant(train.labels[:PROBE_SIZE], tf.int32)

    def on_train_begin(self, logs: Any = None) -> None:
        """Compile the probe."""
        model, memory = self.model, networks.memory(self.model)
        weights = [variable.value for variable in model.trainable_variables]

        @tf.function(autograph=False)
        def probe() -> tuple[Any, ...]:
            with tf.GradientTape() as tape:
                loss = model.loss(self._labels, model(self._images, training=True))
            gradient_norm = tf.linalg.global_norm(tape.gradient(loss, weights))
            size = tf.abs(memory(self._images))
            return loss, gradient_norm, tf.reduce_mean(size), tf.reduce_max(size)

        self._probe = probe

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Probe the network, which leaves training unchanged."""
        self.points.append(Point(int(self.model.optimizer.iterations), *map(float, self._probe())))
