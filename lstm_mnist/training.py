"""One run: train for some epochs, evaluate the three splits after each of them."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lstm_mnist import data, networks
from lstm_mnist.config import Config
from lstm_mnist.errors import DivergedError

# Evaluation is independent of the batch size: large batches are only faster.
EVALUATION_BATCH_SIZE = 1_000
# Between two executions Keras returns to Python, for callbacks, the progress bar and signals.
MOST_STEPS_PER_EXECUTION = 25

Probabilities = NDArray[np.float64]  # [..., 10]


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


@dataclasses.dataclass(frozen=True)
class State:
    """Where a run stands, and all that it takes to continue as if it had not been interrupted."""

    epochs: tuple[Epoch, ...]  # the finished ones
    step: int  # steps taken in the epoch after them
    step_seconds: float  # what these took
    # Of "weights", "optimizer", "metrics" and, after the first epoch, "best": the weights after the
    # best epoch.
    arrays: Mapping[str, Sequence[NDArray[Any]]]


def run(
    config: Config,
    dataset: data.Dataset,
    *,
    on_epoch: Callable[[Run], None] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    loggers: Sequence[keras.callbacks.Callback] = (),
    progress: bool = False,
    start: State | None = None,
    save: Callable[[State], None] | None = None,
    stop_requested: Callable[[], bool] | None = None,
) -> Run:
    """Train a new network, or continue from `start`, and return the finished run.

    `on_epoch` is given the run so far after each epoch. `callbacks` are called before the state is
    saved, `loggers` after it, who find the epoch's accuracies in their logs by Keras' names.
    `progress` shows Keras' progress bar. `save` is given the state that `start` takes: at the
    beginning, after each epoch, and as soon as `stop_requested`, asked after every execution of
    steps, returns true. That ends the run by KeyboardInterrupt. Raises DivergedError where a loss
    or a weight is not finite.
    """
    steps = len(dataset.train.labels) // config.batch_size
    model = compiled(networks.build(config), config, steps=steps)
    model.optimizer.build(model.trainable_variables)
    record = _Record(
        config,
        dataset,
        model,
        on_epoch=on_epoch,
        start=start,
        save=save,
        stop_requested=stop_requested,
    )
    # The bar is named here because a default one would end its line after our callback printed.
    bar = [keras.callbacks.ProgbarLogger()] if progress else []
    while (epoch := len(record.run.epochs)) < config.epochs:
        if record.step == steps:  # only its evaluation is left
            ending = keras.callbacks.CallbackList([record, *loggers], model=model)
            ending.on_train_begin()
            ending.on_epoch_begin(epoch)
            ending.on_epoch_end(epoch, model.get_metrics_result())
            ending.on_train_end()
            continue
        # An epoch that is entered in its middle is a call of its own: Keras takes the same number
        # of steps from every epoch of a call.
        fit(
            model,
            batches(config, dataset, skip=epoch * steps + record.step),
            epochs=config.epochs,
            initial_epoch=epoch,
            steps=steps - record.step,
            callbacks=[*bar, *callbacks, record, *loggers],
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
    initial_epoch: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = 0,
) -> None:
    """Train a compiled network on the next batches, `steps` of them an epoch, in their order."""
    model.fit(
        batches,
        epochs=epochs,
        initial_epoch=initial_epoch,
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


def batches(config: Config, dataset: data.Dataset, *, skip: int = 0) -> tf.data.Dataset:
    """Return the endless batches (images [B, 28, 28], labels [B]) that training is fed.

    `skip` of them were taken before.
    """
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
    return indices.unbatch().skip(skip).map(gather).prefetch(2).with_options(options)


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


def probabilities(logits: NDArray[np.float32]) -> Probabilities:
    """Return the softmax of logits [..., 10]."""
    logits = logits.astype(np.float64)
    return np.exp(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))


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
    """Evaluates after each epoch, keeps the run so far and has it saved."""

    def __init__(
        self,
        config: Config,
        dataset: data.Dataset,
        model: keras.Model,
        *,
        on_epoch: Callable[[Run], None] | None,
        start: State | None,
        save: Callable[[State], None] | None,
        stop_requested: Callable[[], bool] | None,
    ) -> None:
        super().__init__()
        self.set_model(model)
        self._config = config
        self._dataset = dataset
        self._on_epoch = on_epoch
        self._save = save
        self._stop_requested = stop_requested
        self._epochs = start.epochs if start else ()
        self._started = 0.0
        self._first_step = 0
        self._entered: State | None = None
        self._best = start.arrays.get("best", ()) if start else ()
        self.step = 0
        if start:
            self._restore(start)
        else:
            self._keep()

    @property
    def run(self) -> Run:
        return Run(self._config, self._epochs, self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started = time.perf_counter()
        self._first_step = self.step
        if self._entered:
            # Keras has just reset the loss of the steps before.
            _assign(self.model.metrics_variables, self._entered.arrays["metrics"])
            self._started -= self._entered.step_seconds
            self._entered = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step = self._first_step + batch + 1
        if not math.isfinite(logs["loss"]):
            raise self._diverged(f"after step {self.step} the mean loss is {logs['loss']}")
        self._stop_if_requested(time.perf_counter())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        trained = time.perf_counter()
        scores = {}
        for name, split in self._dataset._asdict().items():
            scores[name] = evaluate(self.model, split)
            self._stop_if_requested(trained)
        if not all(math.isfinite(score.loss) for score in scores.values()):
            raise self._diverged("the loss is not finite")
        # Keras would take as few steps from the epochs that follow.
        self.model.stop_training = self._first_step > 0
        self.step = 0
        self._epochs += (
            Epoch(
                number=epoch + 1,
                training_loss=float(logs["loss"]),
                **scores,
                training_seconds=trained - self._started,
                evaluation_seconds=time.perf_counter() - trained,
            ),
        )
        if self.run.best is self.run.final:
            self._best = self.model.get_weights()
        self._keep()
        logs |= {
            "accuracy": scores["train"].percent / 100,
            "val_accuracy": scores["validation"].percent / 100,
            "val_loss": scores["validation"].loss,
            "test_accuracy": scores["test"].percent / 100,
        }
        if self._on_epoch:
            self._on_epoch(self.run)

    def _stop_if_requested(self, trained: float) -> None:
        if self._stop_requested and self._stop_requested():
            self._keep(step_seconds=trained - self._started)
            raise KeyboardInterrupt

    def _keep(self, step_seconds: float = 0.0) -> None:
        """Have the state saved."""
        model = self.model
        arrays = {
            "weights": model.get_weights(),
            "optimizer": [variable.numpy() for variable in model.optimizer.variables],
            "metrics": [variable.numpy() for variable in model.metrics_variables],
            "best": self._best,
        }
        if not all(np.isfinite(array).all() for group in arrays.values() for array in group):
            raise self._diverged("a weight is not finite")
        if self._save:
            self._save(State(self._epochs, self.step, step_seconds, arrays))

    def _restore(self, state: State) -> None:
        self.model.set_weights(state.arrays["weights"])
        _assign(self.model.optimizer.variables, state.arrays["optimizer"])
        self.step = state.step
        if state.step:  # else the metrics are those of the epoch before
            self._entered = state

    def _diverged(self, reason: str) -> DivergedError:
        seed, epoch = self._config.seed, len(self._epochs) + 1
        return DivergedError(f"seed {seed} has diverged in epoch {epoch}: {reason}")


def _assign(variables: Sequence[keras.Variable], values: Sequence[NDArray[Any]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
