"""Replay a recorded trace of the original script through this project's own training code."""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from lstm_mnist import config, data, networks, short_run, tensorflow1, training
from lstm_mnist.recording import BATCH_SIZE, PASSES, STEPS, WEIGHT_SHAPES, Check, Trace
from lstm_mnist.results import Observer, Run, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORIGINAL = config.variant("original")
EPOCHS = 2  # trained, of those recorded

# How far float32 rounding carries a correct port from the recording. An error of arithmetic
# (another gate, state, epsilon or order) exceeds these by orders of magnitude.
STATE_BOUND = 1e-6
GRADIENT_BOUND = 2e-6  # relative to the largest entry
PIXEL_BOUND = 1e-6  # relative
FORCED_LOSS_BOUND = 1e-6  # of a batch at recorded weights
WEIGHT_BOUNDS = {1: 1e-4, 10: 2e-4}  # by step
LOSS_BOUNDS = {10: 3e-4, 50: 1e-3, 100: 1e-2}  # over the first steps
MEAN_LOSS_BOUND = 5e-3
# Root mean squares: after some hundred steps, rounding decides single weights and losses.
# docs/verification.md says how these and the next bounds were derived.
LATE_WEIGHT_BOUNDS = {
    100: dict.fromkeys(WEIGHT_SHAPES, 2e-3),
    550: {
        "kernel": 0.12,
        "recurrent_kernel": 0.09,
        "bias": 0.05,
        "dense_kernel": 0.05,
        "dense_bias": 0.03,
    },
}
LATE_LOSS_BOUNDS = {(100, 550): 0.05, (550, 1100): 0.06}  # over steps
SECOND_MEAN_LOSS_BOUND = 6e-3
SECOND_CORRECT_BOUNDS = (2_500, 500)
ADAM_STEPS, ADAM_BOUND = 50, 5e-4


def checks(
    trace: Trace, dataset: data.Dataset, settings: config.Config = ORIGINAL
) -> Iterator[Check]:
    """Replay a trace and yield one Check per quantity, as soon as it is known.

    `settings` is the recipe to replay it with; its seed and batch size are the trace's.
    """
    settings = dataclasses.replace(settings, seed=trace.seed, batch_size=BATCH_SIZE)
    yield from _order_checks(trace, dataset, settings)
    model = training.compiled(networks.build(settings), settings, steps=STEPS)
    shapes = dict(zip(WEIGHT_SHAPES, (weight.shape for weight in model.weights), strict=False))
    yield (fitting := Check.settings("shapes of the weights", shapes, WEIGHT_SHAPES))
    if not fitting.passed or len(model.weights) != len(WEIGHT_SHAPES):
        return  # nothing that was recorded fits
    yield from tensorflow1.recipe_checks(model, "compiled")
    yield from _first_batch_checks(trace, dataset, settings, model)
    yield from tensorflow1.saturated_cell_checks(model)
    yield from tensorflow1.optimizer_checks(training.compiled(networks.build(settings), settings))
    yield from _forced_checks(trace, dataset, settings, model)
    yield from tensorflow1.initial_weight_checks(settings)
    yield from short_run.checks(settings, dataset)
    watcher = _Watcher(trace)
    run, trained = training.run(settings, dataset, observer=watcher)
    yield from _training_checks(trace, run, watcher)
    if watcher.epochs == EPOCHS:
        yield from _second_epoch_checks(trace, watcher, dataset, settings, model)
    yield from tensorflow1.recipe_checks(trained, "run")


def _order_checks(trace: Trace, dataset: data.Dataset, settings: config.Config) -> Iterator[Check]:
    splits = (dataset.train, dataset.train, dataset.test)
    orders = itertools.islice(training.orders(settings, dataset), trace.epochs)
    digests = [
        hashlib.sha256(split.labels[index].data).hexdigest()
        for order in orders
        for split, index in zip(splits, order, strict=True)
    ]
    agreeing = sum(map(str.__eq__, digests, trace.label_order_sha256))
    yield Check.counted("label order: passes that agree", agreeing, len(trace.label_order_sha256))


def _first_batch_checks(
    trace: Trace, dataset: data.Dataset, settings: config.Config, model: keras.Model
) -> Iterator[Check]:
    recorded = trace.arrays
    networks.set_weights(model, trace.weights(0))
    images, labels = next(iter(training.batches(settings, dataset)))
    yield Check.close("first batch: labels", labels, recorded["first_batch/labels"], 0)
    expected_sums = recorded["first_batch/images_sum"]
    pixel_sums = np.sum(images.numpy(), axis=(1, 2), dtype=np.float64)
    yield Check.close(
        "first batch: pixel sums, relative", pixel_sums / expected_sums, np.ones(100), PIXEL_BOUND
    )
    states = networks.final_states(model)(images)
    for name, index, state in zip(("h", "c"), (0, 1), states, strict=True):
        expected = recorded[f"first_batch/final_state_{index}"]
        yield Check.close(f"first batch: final state {name}", state, expected, STATE_BOUND)
    logits, gradients = _logits_and_gradients(model, images, labels)
    yield Check.close("first batch: logits", logits, recorded["first_batch/logits"], STATE_BOUND)
    expected_gradients = trace.group("first_batch/gradient")
    for (name, expected), gradient in zip(expected_gradients.items(), gradients, strict=True):
        yield Check.close(
            f"first batch: gradient of {name}, relative",
            gradient,
            expected,
            GRADIENT_BOUND,
            relative=True,
        )


def _forced_checks(
    trace: Trace, dataset: data.Dataset, settings: config.Config, model: keras.Model
) -> Iterator[Check]:
    """Compare the network's outputs at recorded weights, where errors of steps do not add up."""
    losses = trace.arrays["loss"]
    for step in (0, 1, 10, 100, 550):
        networks.set_weights(model, trace.weights(step))
        if step < len(losses):
            images, labels = next(iter(training.batches(settings, dataset, skip=step)))
            logits = model(images, training=True)
            yield Check.close(
                f"recorded weights after step {step}: next loss",
                model.compute_loss(x=images, y=labels, y_pred=logits),
                losses[step],
                FORCED_LOSS_BOUND,
            )


class _Watcher(keras.callbacks.Callback, Observer):
    """Sees every step of a run, and ends it after the last epoch that is compared.

    The run begins with the recorded weights, and is set to them again after the first epoch's last
    step, so that the second epoch stays comparable for as long as the first. Nothing else is
    changed. Steps within an execution are seen through the loss that each of them computes.
    """

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.callbacks = (self,)
        self.epochs = min(EPOCHS, trace.epochs)
        self.losses = tf.Variable(tf.zeros([self.epochs * STEPS]))
        self.labels = tf.Variable(tf.zeros([self.epochs * STEPS, BATCH_SIZE], tf.uint8))
        self.early_weights = {
            step: {name: tf.Variable(tf.zeros(shape)) for name, shape in WEIGHT_SHAPES.items()}
            for step in WEIGHT_BOUNDS
        }
        self.weights: dict[int, dict[str, NDArray[np.float32]]] = {}  # by step
        self.after_first_epoch: State
        self._trace = trace
        self._epoch = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Set the recorded initial weights and begin to watch."""
        networks.set_weights(self.model, self._trace.weights(0))

        def see(step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor, loss: tf.Tensor) -> None:
            last = self.epochs * STEPS - 1  # for steps that should not happen
            step = tf.minimum(step, last)
            self.losses.scatter_nd_update([[step]], [loss])
            self.labels.scatter_nd_update([[step]], [labels])
            for number, copies in self.early_weights.items():
                weights = self.model.trainable_weights
                for copy, weight in zip(copies.values(), weights, strict=True):
                    copy.assign(tf.where(step == number, weight, copy))

        short_run.watch_steps(self.model, see)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note which epoch it is."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Keep the weights after steps at which they are compared."""
        step = self._epoch * STEPS + batch + 1
        if step in (*LATE_WEIGHT_BOUNDS, STEPS + ADAM_STEPS):
            self.weights[step] = networks.weights(self.model)
        if step == STEPS:
            networks.set_weights(self.model, self._trace.weights(STEPS))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """End the run with the last epoch that is compared."""
        self.model.stop_training = epoch + 1 >= self.epochs

    def save(self, state: State) -> None:
        """Keep the state after the first epoch."""
        if len(state.run.epochs) == 1 and not state.step:
            self.after_first_epoch = state


def _training_checks(trace: Trace, run: Run, watcher: _Watcher) -> Iterator[Check]:
    """Compare the run's first epoch, and the order of all epochs."""
    taken = int(watcher.model.optimizer.iterations)
    yield (fitting := Check.counted("run: steps", taken, watcher.epochs * STEPS))
    if not fitting.passed:
        return  # the steps are not the recorded ones
    labels = watcher.labels.numpy().reshape(watcher.epochs, -1)
    digests = [hashlib.sha256(fed.data).hexdigest() for fed in labels]
    agreeing = sum(map(str.__eq__, digests, trace.label_order_sha256[:: len(PASSES)]))
    yield Check.counted("run: epochs fed in the recorded order", agreeing, watcher.epochs)
    for step, bound in WEIGHT_BOUNDS.items():
        for name, expected in trace.weights(step).items():
            actual = watcher.early_weights[step][name]
            yield Check.close(f"after step {step}: {name}", actual, expected, bound)
    for step, late_bounds in LATE_WEIGHT_BOUNDS.items():
        for name, expected in trace.weights(step).items():
            actual = watcher.weights[step][name]
            yield _root_mean_square(
                f"after step {step}: {name}", actual, expected, late_bounds[name]
            )
    losses, recorded = watcher.losses.numpy(), trace.arrays["loss"]
    for steps, bound in LOSS_BOUNDS.items():
        yield Check.close(
            f"losses of the first {steps} steps", losses[:steps], recorded[:steps], bound
        )
    for (first, last), bound in LATE_LOSS_BOUNDS.items():
        if last <= len(losses):
            yield _root_mean_square(
                f"losses of steps {first + 1} to {last}",
                losses[first:last],
                recorded[first:last],
                bound,
            )
    bounds = (MEAN_LOSS_BOUND, SECOND_MEAN_LOSS_BOUND)
    for epoch, bound in zip(run.epochs, bounds, strict=False):
        mean = np.mean(recorded[: epoch.number * STEPS][-STEPS:], dtype=np.float64)
        yield Check.close(
            f"mean loss of epoch {epoch.number}, as reported", epoch.training_loss, mean, bound
        )
    for epoch, bounds in zip(run.epochs, ((0, 0), SECOND_CORRECT_BOUNDS), strict=False):
        for name, score, correct, bound in zip(
            ("train", "test"),
            (epoch.train, epoch.test),
            trace.correct(epoch.number - 1),
            bounds,
            strict=True,
        ):
            yield Check.counted(
                f"evaluation of epoch {epoch.number}: right, {name}", score.correct, correct, bound
            )


def _second_epoch_checks(
    trace: Trace,
    watcher: _Watcher,
    dataset: data.Dataset,
    settings: config.Config,
    model: keras.Model,
) -> Iterator[Check]:
    """Compare the start of the second epoch with the recording and with Adam written out."""
    yield Check.close(
        "first loss of epoch 2",
        watcher.losses[STEPS],
        trace.arrays["loss"][STEPS],
        FORCED_LOSS_BOUND,
    )
    state = watcher.after_first_epoch
    moments = {
        name: [
            array
            for variable, array in zip(
                watcher.model.optimizer.variables, state.optimizer, strict=True
            )
            if variable.name.endswith(f"_{name}")
        ]
        for name in ("momentum", "velocity")
    }
    adam = tensorflow1.Adam(state.weights, STEPS, (moments["momentum"], moments["velocity"]))
    compute = tf.function(functools.partial(_logits_and_gradients, model), autograph=False)
    for images, labels in training.batches(settings, dataset, skip=STEPS).take(ADAM_STEPS):
        model.set_weights(adam.weights)
        _, gradients = compute(images, labels)
        adam.step([gradient.numpy() for gradient in gradients])
    step = STEPS + ADAM_STEPS
    for (name, actual), expected in zip(watcher.weights[step].items(), adam.weights, strict=True):
        yield _root_mean_square(
            f"after step {step}, by Adam in float64: {name}", actual, expected, ADAM_BOUND
        )


def _logits_and_gradients(model: keras.Model, images: Any, labels: Any) -> tuple[Any, list[Any]]:
    """Return what a step of training computes before its update."""
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = model.compute_loss(x=images, y=labels, y_pred=logits)
    return logits, tape.gradient(loss, model.trainable_weights)


def _root_mean_square(quantity: str, ours: Any, recorded: Any, bound: float) -> Check:
    """Compare arrays as a whole; each side is shown by its root mean square."""
    return Check(quantity, _norm(ours), _norm(recorded), _norm(np.subtract(ours, recorded)), bound)


def _norm(array: Any) -> float:
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))
