"""Keras on TensorFlow as it comes: RNN(LSTMCell), compile, fit, predict."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.contenders import CLASSES, batches
from lstm_mnist import data
from lstm_mnist.config import Config

EVALUATION_BATCH_SIZE = 2_000


def hard_sigmoid(x: Any) -> Any:
    """Return clip(0.2 x + 0.5, 0, 1), which Keras 3 does not have."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


class Contender:
    """A functional model; Keras compiles its steps with XLA by default."""

    def __init__(self, config: Config, dataset: data.Dataset) -> None:
        self._dataset = dataset
        images = keras.Input(dataset.train.images.shape[1:])
        cell = keras.layers.LSTMCell(
            config.units,
            recurrent_activation="sigmoid"
            if config.recurrent_activation == "sigmoid"
            else hard_sigmoid,
        )
        _, _, cell_state = keras.layers.RNN(cell, return_state=True)(images)
        self._model = keras.Model(images, keras.layers.Dense(CLASSES)(cell_state))
        self._model.compile(
            optimizer=keras.optimizers.Adam(config.learning_rate, epsilon=config.epsilon),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        x, y = map(tf.constant, dataset.train)
        self._batches = (
            tf.data.Dataset.from_tensor_slices(batches(config, dataset))
            .map(lambda index: (tf.gather(x, index), tf.gather(y, index)))
            .prefetch(tf.data.AUTOTUNE)
        )

    def train_epoch(self) -> None:
        """Train on every batch."""
        self._model.fit(self._batches, shuffle=False, verbose=0)

    def evaluate(self) -> tuple[float, float]:
        """Return the accuracy over all training and over all test images."""
        return self._accuracy(self._dataset.train), self._accuracy(self._dataset.test)

    def _accuracy(self, split: data.Split) -> float:
        logits = self._model.predict(split.images, batch_size=EVALUATION_BATCH_SIZE, verbose=0)
        return float(np.mean(np.argmax(logits, axis=1) == split.labels))
