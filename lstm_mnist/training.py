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
from lstm_mnist.order import EpochOrder, epoch_orders
from lstm_mnist.results import Epoch, Observer, Run, Score, State
from lstm_mnist.system.errors import CheckpointError, DivergedError

# Evaluation is independent of the batch size: large batches are only faster.
EVALUATION_BATCH_SIZE = 1_000
# Between two executions Keras returns to Python, for callbacks, the progress bar and signals.
MAX_STEPS_PER_EXECUTION = 25

Probabilities = NDArray[np.float64]  # [..., 10]
_NOBODY = Observer()


def run(
    config: Config,
    dataset: data.Dataset,
    *,
    observer: Observer = _NOBODY,
    start: State | None = None,
    build: Callable[[Config], keras.Model] = networks.build,
) -> tuple[Run, keras.Model]:
    """Train a new network, or continue from `start`; return the finished run and its model.

    `build` makes the network, from images [B, 28, 28] to logits [B, 10].
    A callback that sets `model.stop_training` ends the run after the epoch, as in Keras' `fit`.
    Raises KeyboardInterrupt, after saving, where the observer asks to stop, and DivergedError where
    a loss or a weight is not finite.
    """
    steps = len(dataset.train.labels) // config.batch_size
    model = compiled(build(config), config, steps=steps)
    model.optimizer.build(model.trainable_variables)
    if start:
        state = start
        _restore(model, state)
    else:
        state = _snapshot(model, Run(config))
        observer.save(state)
    feed = iter(batches(config, dataset, skip=len(state.run.epochs) * steps + state.step))
    callbacks = keras.callbacks.CallbackList(
        [*observer.callbacks], model=model, epochs=config.epochs, steps=steps, verbose=1
    )

    def stop_if_requested(step: int, seconds: float) -> None:
        if observer.stop_requested():
            observer.save(_snapshot(model, state.run, step, seconds, best=state.best))
            raise KeyboardInterrupt

    callbacks.on_train_begin()
    for number in range(len(state.run.epochs) + 1, config.epochs + 1):
        callbacks.on_epoch_begin(number - 1)
        began = time.perf_counter() - state.step_seconds
        for step in _train(model, feed, state, steps, callbacks):
            stop_if_requested(step, time.perf_counter() - began)
        trained = time.perf_counter()

        scores = {}
        for name, split in dataset._asdict().items():
            scores[name] = evaluate(model, split)
            stop_if_requested(steps, trained - began)
        if not all(math.isfinite(score.loss) for score in scores.values()):
            raise _diverged(state.run, "the loss is not finite")

        epoch = Epoch(
            number=number,
            training_loss=float(model.get_metrics_result()["loss"]),
            **scores,
            training_seconds=trained - began,
            evaluation_seconds=time.perf_counter() - trained,
        )
        state = _finished(_snapshot(model, state.run, best=state.best), epoch)
        observer.save(state)
        callbacks.on_epoch_end(number - 1, _logs(epoch))
        observer.tell(state.run)
        if model.stop_training:
            break
    callbacks.on_train_end()
    return state.run, model


def _train(
    model: keras.Model,
    feed: Iterator[Any],
    state: State,
    steps: int,
    callbacks: keras.callbacks.CallbackList,
) -> Iterator[int]:
    """Take the remaining steps of a state's epoch; yield how many have been taken so far.

    Yields after each execution. Raises DivergedError.
    """
    if not state.step:
        model.reset_metrics()
    model.make_train_function()
    for step in range(state.step, steps, model.steps_per_execution):
        callbacks.on_train_batch_begin(step)
        logs = model.train_function(feed)
        taken = step + model.steps_per_execution
        callbacks.on_train_batch_end(taken - 1, logs)
        if not math.isfinite(loss := float(logs["loss"])):
            raise _diverged(state.run, f"after step {taken} the mean loss is {loss}")
        yield taken


def _logs(epoch: Epoch) -> dict[str, float]:
    """Return an epoch's results by the names that Keras' callbacks know."""
    return {
        "loss": epoch.training_loss,
        "accuracy": epoch.train.percent / 100,
        "val_accuracy": epoch.validation.percent / 100,
        "val_loss": epoch.validation.loss,
        "test_accuracy": epoch.test.percent / 100,
    }


def _snapshot(
    model: keras.Model,
    run: Run,
    step: int = 0,
    step_seconds: float = 0.0,
    *,
    best: Sequence[NDArray[Any]] = (),
) -> State:
    """Return where a run stands. Raises DivergedError where a weight is not finite."""
    state = State(
        run,
        step,
        step_seconds,
        weights=model.get_weights(),
        optimizer=[variable.numpy() for variable in model.optimizer.variables],
        metrics=[variable.numpy() for variable in model.metrics_variables],
        best=best,
    )
    for arrays in (state.weights, state.optimizer, state.metrics):
        if not all(np.isfinite(array).all() for array in arrays):
            raise _diverged(run, "a weight is not finite")
    return state


def _finished(state: State, epoch: Epoch) -> State:
    """Return a state with one more finished epoch, which ended with the state's weights."""
    run = Run(state.run.config, (*state.run.epochs, epoch))
    best = state.weights if run.best is epoch else state.best
    return dataclasses.replace(state, run=run, best=best)


def _restore(model: keras.Model, state: State) -> None:
    """Give a model the weights, optimizer and metrics of a state.

    Raises CheckpointError where one does not fit.
    """
    for variables, values in (
        (model.weights, state.weights),
        (model.optimizer.variables, state.optimizer),
        (model.metrics_variables, state.metrics),
    ):
        if [variable.shape for variable in variables] != [value.shape for value in values]:
            raise CheckpointError("the checkpoint holds arrays of another network")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _diverged(run: Run, reason: str) -> DivergedError:
    number = len(run.epochs) + 1
    return DivergedError(f"seed {run.config.seed} has diverged in epoch {number}: {reason}")


def compiled(model: keras.Model, config: Config, *, steps: int = 1) -> keras.Model:
    """Compile a network with the recipe's loss and optimizer, and return it.

    `steps` is the number of steps in an epoch. Several are executed at once, never beyond the end
    of an epoch; callbacks see every single step only with the default.
    """
    learning_rate = config.learning_rate
    if config.schedule == "cosine":
        learning_rate = keras.optimizers.schedules.CosineDecay(
            config.learning_rate, decay_steps=config.epochs * steps
        )
    model.compile(
        optimizer=keras.optimizers.Adam(
            learning_rate, epsilon=config.epsilon, global_clipnorm=config.clip_norm or None
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # A divisor: Keras would take the steps beyond the epoch's end from the next epoch.
        steps_per_execution=math.gcd(steps, MAX_STEPS_PER_EXECUTION),
        # By default Keras compiles with XLA where the machine has a GPU, even if it is not used.
        jit_compile=False,
    )
    return model


def orders(config: Config, dataset: data.Dataset) -> Iterator[EpochOrder]:
    """Yield the order of every epoch of a run; see `epoch_orders`."""
    return epoch_orders(
        config.seed,
        train_size=len(dataset.train.labels),
        test_size=len(dataset.test.labels),
        batch_size=config.batch_size,
    )


def batches(config: Config, dataset: data.Dataset, *, skip: int = 0) -> tf.data.Dataset:
    """Return the endless batches (images [B, 28, 28], labels [B]) that training is fed.

    The first `skip` of them, taken before, are left out.
    """
    pixels, labels = map(tf.constant, dataset.train)

    def epochs() -> Iterator[NDArray[np.int64]]:
        return (order.train.reshape(-1, config.batch_size) for order in orders(config, dataset))

    @tf.autograph.experimental.do_not_convert  # conversion would write a temporary file
    def gather(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.cast(tf.gather(pixels, index), tf.float32) * data.SCALE
        return images, tf.gather(labels, index)

    options = tf.data.Options()
    options.autotune.enabled = False  # its thread delays the end of a pass, at times by seconds
    indices = tf.data.Dataset.from_generator(
        epochs, output_signature=tf.TensorSpec([None, config.batch_size], tf.int64)
    )
    return indices.unbatch().skip(skip).map(gather).prefetch(2).with_options(options)


def evaluate(model: keras.Model, split: data.Split) -> Score:
    """Score a network on every example of a split."""
    return score(predict(model, split.pixels), split.labels)


def predict(model: keras.Model, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return a network's logits [N, 10] for images [N, 28, 28]: float32, or a split's pixels."""

    def batches() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(images), EVALUATION_BATCH_SIZE):
            batch = images[start : start + EVALUATION_BATCH_SIZE]
            yield data.scale(batch) if batch.dtype == np.uint8 else batch

    # This copies less than Keras' `predict`, which hands all images to tf.data first.
    return np.concatenate([model.predict_on_batch(batch) for batch in batches()])


def probabilities(logits: NDArray[np.float32]) -> Probabilities:
    """Return the softmax of logits [..., 10]."""
    from scipy import special  # late, because a training does not need it

    return special.softmax(logits.astype(np.float64), axis=-1)


def score(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> Score:
    """Compare logits [N, 10] with labels [N]."""
    logits = logits.astype(np.float64)
    label_logits = np.take_along_axis(logits, labels[:, np.newaxis].astype(int), axis=1)[:, 0]
    return Score(
        correct=int(np.sum(np.argmax(logits, axis=1) == labels)),
        total=len(labels),
        loss=float(np.mean(np.logaddexp.reduce(logits, axis=1) - label_logits)),
    )
