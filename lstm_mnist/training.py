"""One run: train for some epochs, evaluate the three splits after each of them."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lstm_mnist import data, networks
from lstm_mnist.config import Config

# Evaluation is independent of the batch size: large batches are only faster.
EVALUATION_BATCH_SIZE = 1_000
# Between two executions Keras returns to Python, for callbacks, the progress bar and signals.
MOST_STEPS_PER_EXECUTION = 25


@dataclasses.dataclass(frozen=True)
class Score:
    """A network's result on all examples of a split."""

    correct: int
    total: int
    loss: float  # mean softmax cross-entropy, nats

    @property
    def percent(self) -> float:
        """Return the accuracy in percent."""
        return 100 * self.correct / self.total


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One epoch's results."""

    number: int  # from 1
    training_loss: float  # mean over the batches, each before its update
    train: Score
    validation: Score
    test: Score
    training_seconds: float
    evaluation_seconds: float


@dataclasses.dataclass(frozen=True)
class Run:
    """A run up to the last finished epoch."""

    config: Config
    epochs: tuple[Epoch, ...]
    model: keras.Model  # with the weights after the last epoch

    @property
    def final(self) -> Epoch:
        """Return the last epoch."""
        return self.epochs[-1]

    @property
    def best(self) -> Epoch:
        """Return the epoch with most correct held-out images, the earliest of equals."""
        return max(self.epochs, key=lambda epoch: epoch.validation.correct)


def run(
    config: Config,
    dataset: data.Dataset,
    *,
    on_epoch: Callable[[Run], None] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    progress: bool = False,
) -> Run:
    """Train a new network and return the finished run.

    `on_epoch` is given the run so far after each epoch; `progress` shows Keras' progress bar.
    """
    steps = len(dataset.train.labels) // config.batch_size
    model = compiled(networks.build(config), config, steps=steps)
    record = _Record(config, dataset, on_epoch)
    # The bar is named here because a default one would end its line after our callback printed.
    bar = [keras.callbacks.ProgbarLogger()] if progress else []
    fit(
        model,
        batches(config, dataset),
        epochs=config.epochs,
        steps=steps,
        callbacks=[*bar, *callbacks, record],
        verbose="auto" if progress else 0,
    )
    return record.run


def compiled(model: keras.Model, config: Config, *, steps: int = 1) -> keras.Model:
    """Compile a network with the recipe's loss and optimizer, and return it.

    `steps` is the number of steps in an epoch: some of them are executed at once, but never more
    than the epoch has. Callbacks see every single step only with the default.
    """
    learning_rate = config.learning_rate
    if config.schedule == "cosine":
        learning_rate = keras.optimizers.schedules.CosineDecay(
            config.learning_rate, decay_steps=config.epochs * steps
        )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate, epsilon=config.epsilon),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # XLA takes long to compile the fast layer's unrolled steps, and runs them slower.
        jit_compile=False if config.kernel == "fast" else "auto",
        # A divisor, because Keras would take the steps beyond the epoch's end from the next one.
        steps_per_execution=math.gcd(steps, MOST_STEPS_PER_EXECUTION),
    )
    return model


def fit(
    model: keras.Model,
    batches: tf.data.Dataset,
    *,
    steps: int,
    epochs: int = 1,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = 0,
) -> None:
    """Train a compiled network on the next batches, `steps` of them an epoch, in their order."""
    model.fit(
        batches,
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,
        callbacks=list(callbacks),
        verbose=verbose,
    )


def orders(config: Config, dataset: data.Dataset) -> Iterator[data.EpochOrder]:
    """Yield the order of every epoch of a run; see `data.epoch_orders`."""
    return data.epoch_orders(
        config.seed,
        train_size=len(dataset.train.labels),
        test_size=len(dataset.test.labels),
        batch_size=config.batch_size,
    )


def batches(config: Config, dataset: data.Dataset) -> tf.data.Dataset:
    """Return the endless batches (images [B, 28, 28], labels [B]) that training is fed."""
    images, labels = map(tf.constant, dataset.train)

    def epochs() -> Iterator[NDArray[np.int64]]:
        return (order.train.reshape(-1, config.batch_size) for order in orders(config, dataset))

    @tf.autograph.experimental.do_not_convert  # which would write a temporary file
    def gather(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(images, index), tf.gather(labels, index)

    options = tf.data.Options()
    options.autotune.enabled = False  # its thread delays the end of a pass, at times by seconds
    indices = tf.data.Dataset.from_generator(
        epochs, output_signature=tf.TensorSpec([None, config.batch_size], tf.int64)
    )
    return indices.unbatch().map(gather).prefetch(2).with_options(options)


def evaluate(model: keras.Model, split: data.Split) -> Score:
    """Score a network on every example of a split."""
    return score(predict(model, split.images), split.labels)


def predict(model: keras.Model, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a network's logits [N, 10] for images [N, 28, 28]."""
    # Less is copied than by Keras' `predict`, which hands all images to tf.data first.
    return np.concatenate(
        [
            model.predict_on_batch(images[start : start + EVALUATION_BATCH_SIZE])
            for start in range(0, len(images), EVALUATION_BATCH_SIZE)
        ]
    )


def score(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> Score:
    """Compare logits [N, 10] with labels [N]."""
    logits = logits.astype(np.float64)
    label_logits = np.take_along_axis(logits, labels[:, np.newaxis].astype(int), axis=1)[:, 0]
    return Score(
        correct=int(np.sum(np.argmax(logits, axis=1) == labels)),
        total=len(labels),
        loss=float(np.mean(np.logaddexp.reduce(logits, axis=1) - label_logits)),
    )


class BatchLosses(keras.callbacks.Callback):
    """Records the loss of every batch, which Keras by itself only averages over the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Forget the earlier batches, over which Keras' loss is a mean."""
        self.model.reset_metrics()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record the batch's loss, taken before its update."""
        self.values.append(float(logs["loss"]))


class _Record(keras.callbacks.Callback):
    """Evaluates after each epoch and keeps the run so far."""

    def __init__(
        self, config: Config, dataset: data.Dataset, on_epoch: Callable[[Run], None] | None
    ) -> None:
        super().__init__()
        self._config = config
        self._dataset = dataset
        self._on_epoch = on_epoch
        self._epochs: tuple[Epoch, ...] = ()
        self._started = 0.0

    @property
    def run(self) -> Run:
        return Run(self._config, self._epochs, self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        trained = time.perf_counter()
        scores = {
            name: evaluate(self.model, split) for name, split in self._dataset._asdict().items()
        }
        self._epochs += (
            Epoch(
                number=epoch + 1,
                training_loss=float(logs["loss"]),
                **scores,
                training_seconds=trained - self._started,
                evaluation_seconds=time.perf_counter() - trained,
            ),
        )
        if self._on_epoch:
            self._on_epoch(self.run)
