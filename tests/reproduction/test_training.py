import dataclasses
import itertools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import DEEPEST_BY_DEFAULT, epoch_order

from lstm_mnist import config, data, networks, tensorflow1, training
from lstm_mnist.results import Epoch, Observer, Run, Score, State
from lstm_mnist.studies import golden
from lstm_mnist.system.errors import DivergedError

SMALL = config.Config(units=16, epochs=3, batch_size=20)


@pytest.fixture(scope="module")
def few(dataset: data.Dataset) -> data.Dataset:
    """A few real images of each split."""
    sizes = {"train": 200, "validation": 50, "test": 60}
    return data.Dataset(
        **{name: getattr(dataset, name).part(slice(size)) for name, size in sizes.items()}
    )


class Watcher(Observer):
    """Keeps what a run tells, and asks it to stop at a question, counted from 1."""

    def __init__(self, *callbacks: keras.callbacks.Callback, stop_at: int = 0) -> None:
        self.callbacks = callbacks
        self.states: list[State] = []
        self.reports: list[Run] = []
        self._questions = itertools.count(1)
        self._stop_at = stop_at

    def save(self, state: State) -> None:
        self.states.append(state)

    def tell(self, run: Run) -> None:
        self.reports.append(run)

    def stop_requested(self) -> bool:
        return next(self._questions) == self._stop_at


def test_batches_larger_than_the_test_images(few: data.Dataset) -> None:
    run, _ = training.run(dataclasses.replace(SMALL, epochs=2, batch_size=101), few)
    assert [epoch.test.total for epoch in run.epochs] == [60, 60]


def test_run_learns_and_reports_every_epoch(few: data.Dataset) -> None:
    watcher = Watcher()
    run, model = training.run(dataclasses.replace(SMALL, epochs=15), few, observer=watcher)
    assert [len(report.epochs) for report in watcher.reports] == list(range(1, 16))
    assert [epoch.number for epoch in run.epochs] == list(range(1, 16))
    assert run.epochs[0].training_loss > run.final.training_loss
    assert run.final.train.percent > 70
    assert (run.final.train.total, run.final.validation.total, run.final.test.total) == (
        200,
        50,
        60,
    )
    assert training.evaluate(model, few.test) == run.final.test


@pytest.mark.parametrize("network", DEEPEST_BY_DEFAULT)
def test_networks_learn(few: data.Dataset, network: str) -> None:
    settings = dataclasses.replace(SMALL, epochs=8, learning_rate=0.003, **config.NETWORKS[network])
    run, _ = training.run(settings, few)
    assert run.final.train.percent > 40


def test_run_is_repeatable(few: data.Dataset) -> None:
    (first, model), (again, same), (other, _) = (
        training.run(dataclasses.replace(SMALL, seed=seed), few) for seed in (5, 5, 6)
    )
    for name, value in networks.weights(model).items():
        assert np.array_equal(value, networks.weights(same)[name])
    assert [epoch.test for epoch in first.epochs] == [epoch.test for epoch in again.epochs]
    assert first.final.training_loss != other.final.training_loss


# Where a run is asked to stop: an epoch has two executions of steps and then three evaluations.
@pytest.mark.parametrize(
    "question",
    [1, pytest.param(4, marks=pytest.mark.slow), 6, pytest.param(10, marks=pytest.mark.slow)],
)
def test_stopped_run_continues_as_if_it_had_not_been(few: data.Dataset, question: int) -> None:
    settings = dataclasses.replace(SMALL, schedule="cosine")
    undisturbed, expected_model = training.run(settings, few)
    logged: list[tuple[int, float]] = []
    logger = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logged.append((epoch, logs["val_accuracy"]))
    )
    watcher = Watcher(logger, stop_at=question)
    with pytest.raises(KeyboardInterrupt):
        training.run(settings, few, observer=watcher)
    state = watcher.states[-1]
    assert (len(state.run.epochs), state.step) == (
        (question - 1) // 5,
        (5, 10, 10, 10, 10)[(question - 1) % 5],
    )
    watcher = Watcher(logger)
    continued, model = training.run(settings, few, observer=watcher, start=state)
    assert logged == [
        (epoch.number - 1, epoch.validation.percent / 100) for epoch in undisturbed.epochs
    ]
    for name, value in networks.weights(expected_model).items():
        assert np.array_equal(value, networks.weights(model)[name])
    for expected, actual in zip(undisturbed.epochs, continued.epochs, strict=True):
        assert expected == dataclasses.replace(
            actual,
            training_seconds=expected.training_seconds,
            evaluation_seconds=expected.evaluation_seconds,
        )
    best = watcher.states[undisturbed.best.number - continued.final.number - 1].weights
    for array, other in zip(best, watcher.states[-1].best, strict=True):
        assert np.array_equal(array, other)


def test_diverged_run_ends_with_its_last_finite_state(few: data.Dataset) -> None:
    watcher = Watcher()
    settings = dataclasses.replace(SMALL, learning_rate=1e38)
    with pytest.raises(DivergedError, match="seed 0 has diverged in epoch 1: after step 5"):
        training.run(settings, few, observer=watcher)
    (state,) = watcher.states
    assert (state.run.epochs, state.step) == ((), 0)


def test_callbacks_are_called_as_by_fit(few: data.Dataset) -> None:
    called: list[tuple[Any, ...]] = []

    class Everything(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            called.append(("train begins", self.params["epochs"], self.params["steps"]))

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            called.append(("epoch begins", epoch))

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            called.append(("batch begins", batch))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            called.append(("batch ends", batch, *logs))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            called.append(("epoch ends", epoch, *logs))

        def on_train_end(self, logs: Any = None) -> None:
            called.append(("train ends",))

    training.run(dataclasses.replace(SMALL, epochs=2), few, observer=Watcher(Everything()))
    names = ("accuracy", "loss", "test_accuracy", "val_accuracy", "val_loss")
    # 10 steps an epoch, of which 5 are executed at once.
    steps = [("batch begins", 0), ("batch ends", 4, "loss")]
    steps += [("batch begins", 5), ("batch ends", 9, "loss")]
    first, second = (
        [("epoch begins", epoch), *steps, ("epoch ends", epoch, *names)] for epoch in (0, 1)
    )
    assert called == [("train begins", 2, 10), *first, *second, ("train ends",)]


def test_callback_may_end_the_run(few: data.Dataset) -> None:
    patient = keras.callbacks.EarlyStopping("loss", min_delta=100.0, patience=2)
    watcher = Watcher(patient)
    run, _ = training.run(dataclasses.replace(SMALL, epochs=5), few, observer=watcher)
    assert len(run.epochs) == len(watcher.states) - 1 == 3


@pytest.mark.compiled
def test_kernels_agree_over_fifty_steps(dataset: data.Dataset) -> None:
    losses = {}
    for kernel in config.KERNELS:
        settings = config.Config(kernel=kernel)
        model = training.compiled(networks.build(settings), settings)
        record = golden.BatchLosses()
        batches = training.batches(settings, dataset)
        model.fit(batches, steps_per_epoch=50, callbacks=[record], shuffle=False, verbose=0)
        losses[kernel] = record.values
    assert len(losses["compiled"]) == 50
    # As close as a Keras port comes to the recorded original; see `verification.LOSS_BOUNDS`.
    np.testing.assert_allclose(losses["compiled"], losses["keras"], rtol=0, atol=1e-3)


def test_steps_executed_at_once_change_nothing(few: data.Dataset) -> None:
    weights = []
    for at_once in (1, 10):
        model = training.compiled(networks.build(SMALL), SMALL, steps=at_once)
        batches = training.batches(SMALL, few)
        model.fit(batches, steps_per_epoch=10, epochs=2, shuffle=False, verbose=0)
        weights.append(networks.weights(model))
    for name, value in weights[0].items():
        assert np.array_equal(value, weights[1][name])


def test_batches_follow_the_order(few: data.Dataset) -> None:
    batches = list(training.batches(SMALL, few).take(20))
    fed = np.concatenate([labels for _, labels in batches])
    first, second = (
        epoch_order(SMALL.seed, epoch, train_size=200, test_size=60, batch_size=20).train
        for epoch in (0, 1)
    )
    assert np.array_equal(fed, few.train.labels[np.concatenate([first, second])])
    assert np.array_equal(batches[0][0], few.train.images[first[:20]])


def test_best_is_the_earliest_of_the_best_epochs_on_held_out_images() -> None:
    def epoch(number: int, validation: int, test: int) -> Epoch:
        train, held_out, tested = (Score(correct, 100, 0.1) for correct in (90, validation, test))
        return Epoch(number, 0.1, train, held_out, tested, 1.0, 1.0)

    epochs = (epoch(1, 90, 99), epoch(2, 95, 91), epoch(3, 95, 98), epoch(4, 94, 97))
    run = Run(SMALL, epochs)
    assert run.best.number == 2
    assert run.final.number == 4


def test_score_counts_and_averages() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.3, 0.5]], np.float32))
    score = training.score(logits, np.array([0, 1, 0], np.uint8))
    assert (score.correct, score.total) == (2, 3)
    assert score.percent == pytest.approx(200 / 3)
    assert score.loss == pytest.approx(-np.mean(np.log([0.7, 0.6, 0.2])), rel=1e-6)


def test_probabilities_of_any_finite_logits_add_up_to_1() -> None:
    logits = np.array([[1e33] * 10, [0.0] * 9 + [3e38], [*range(10)]], np.float32)
    found = training.probabilities(logits)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found[0], 0.1)
    np.testing.assert_allclose(found[1], [0] * 9 + [1])
    ratios = found[2, 1:] / found[2, :-1]
    np.testing.assert_allclose(ratios, np.e)


def test_all_gradients_together_are_clipped_before_adam() -> None:
    settings = config.Config(units=4, clip_norm=1.0)
    model = training.compiled(networks.build(settings), settings)
    random = np.random.default_rng(0)
    gradients = [random.normal(size=weight.shape) for weight in model.trainable_variables]
    expected = tensorflow1.Adam(model.get_weights(), 0)
    # Adam by itself hardly minds the scale of gradients, unless it changes between two steps.
    for norm, clipped in ((5.0, 1.0), (0.5, 0.5), (30.0, 1.0)):
        length = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients))
        steep = [(norm / length * gradient).astype(np.float32) for gradient in gradients]
        model.optimizer.apply(
            [tf.constant(gradient) for gradient in steep], model.trainable_variables
        )
        expected.step([clipped / norm * gradient for gradient in steep])
    for ours, theirs in zip(model.get_weights(), expected.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
