"""Keras on TensorFlow as it comes: RNN(LSTMCell), compile, fit, predict."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.contenders import orders, steps
from lstm_mnist import data
from lstm_mnist.config import CLASSES, Config

EVALUATION_BATCH_SIZE = 2_000


def hard_sigmoid(x: Any) -> Any:
    """Return clip(0.2 x + 0.5, 0, 1), which Keras 3 does not have."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


class Contender:
    """A functional model; Keras compiles its steps with XLA by default."""

    def __init__(self, config: Config, dataset: data.Dataset) -> None:
        self._train, self._test = (
            (split.images, split.labels) for split in (dataset.train, dataset.test)
        )
        images = keras.Input(dataset.train.pixels.shape[1:])
        cell = keras.layers.LSTMCell(
            config.units,
            recurrent_activation="sigmoid"
            if config.recurrent_activation == "sigmoid"
            else hard_sigmoid,
        )
        _, _, cell_state = keras.layers.RNN(cell, return_state=True)(images)
        self._model = keras.Model(images, keras.layers.Dense(CLASSES)(cell_state))
        learning_rate = config.learning_rate
        if config.schedule == "cosine":
            learning_rate = keras.optimizers.schedules.CosineDecay(
                config.learning_rate, decay_steps=config.epochs * steps(config, dataset)
            )
        self._model.compile(
            optimizer=keras.optimizers.Adam(learning_rate, epsilon=config.epsilon),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        self._x, self._y = map(tf.constant, self._train)
        self._orders = orders(config, dataset)

    def train_epoch(self) -> None:
        """Train on every batch."""
        batches = (
            tf.data.Dataset.from_tensor_slices(next(self._orders))
            .map(lambda index: (tf.gather(self._x, index), tf.gather(self._y, index)))
            .prefetch(tf.data.AUTOTUNE)
        )
        self._model.fit(batches, shuffle=False, verbose=0)

    def evaluate(self) -> tuple[float, float]:
        """Return the accuracy over all training and over all test images."""
        return self._accuracy(*self._train), self._accuracy(*self._test)

    def _accuracy(self, images: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
        logits = self._model.predict(images, batch_size=EVALUATION_BATCH_SIZE, verbose=0)
        return float(np.mean(np.argmax(logits, axis=1) == labels))
