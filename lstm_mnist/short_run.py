"""A short run on part of the data, for what the recording of two epochs does not cover."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lstm_mnist import data, training
from lstm_mnist.config import Config
from lstm_mnist.recording import Check
from lstm_mnist.results import Observer, State

EPOCHS, BATCH_SIZE = 12, 50
TRAIN, OTHERS = 300, 150  # images of a split


def watch_steps(model: keras.Model, see: Callable[..., None]) -> None:
    """Have each step call `see` with its number, images, labels and loss, as tensors.

    Callbacks see executions of several steps; a loss is computed in each of them.
    """
    compute_loss = model.compute_loss

    def watched(x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool = True) -> Any:
        loss = compute_loss(x, y, y_pred, sample_weight, training)
        see(tf.convert_to_tensor(model.optimizer.iterations), x, y, loss)
        return loss

    model.compute_loss = watched


class _Keeper(keras.callbacks.Callback, Observer):
    """Keeps the state after each epoch, and the sum of pixels of each image that is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.callbacks = (self,)
        self.states: list[State] = []
        self.fed = tf.Variable(tf.zeros([EPOCHS * TRAIN // BATCH_SIZE, BATCH_SIZE]))

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to watch what each step within an execution is fed."""

        def see(step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor, loss: tf.Tensor) -> None:
            self.fed.scatter_nd_update([[step]], [tf.reduce_sum(images, axis=(1, 2))])

        watch_steps(self.model, see)

    def save(self, state: State) -> None:
        """Keep the state after an epoch."""
        if state.run.epochs and not state.step:
            self.states.append(state)


def checks(settings: Config, dataset: data.Dataset) -> Iterator[Check]:
    """Check that epochs are fed whole and in new orders, and the best one's weights are kept."""
    sizes = (TRAIN, OTHERS, OTHERS)
    part = data.Dataset(
        *(split.part(slice(size)) for split, size in zip(dataset, sizes, strict=True))
    )
    keeper = _Keeper()
    short = dataclasses.replace(settings, epochs=EPOCHS, batch_size=BATCH_SIZE)
    training.run(short, part, observer=keeper)
    pixels = part.train.images.sum(axis=(1, 2))
    epochs = keeper.fed.numpy().reshape(EPOCHS, -1)
    whole = [np.allclose(np.sort(fed), np.sort(pixels), rtol=1e-5) for fed in epochs]
    yield Check.counted("short run: epochs fed whole", sum(whole), EPOCHS)
    orders = len({fed.tobytes() for fed in epochs})
    yield Check.counted("short run: orders of its epochs", orders, EPOCHS)
    scores = [state.run.final.validation.correct for state in keeper.states]
    kept = 0
    for epoch, state in enumerate(keeper.states, 1):
        best = keeper.states[int(np.argmax(scores[:epoch]))]  # the earliest of equals
        kept += all(map(np.array_equal, state.best, best.weights))
    yield Check.counted("short run: epochs with the best weights kept", kept, EPOCHS)
