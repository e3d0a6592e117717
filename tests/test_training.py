import dataclasses
import itertools

import keras
import numpy as np
import pytest

from lstm_mnist import config, data, networks, training
from lstm_mnist.errors import DivergedError

SMALL = config.Config(units=16, epochs=3, batch_size=20)


@pytest.fixture(scope="module")
def few(dataset: data.Dataset) -> data.Dataset:
    """A few real images of each split."""
    sizes = {"train": 200, "validation": 50, "test": 60}
    return data.Dataset(
        **{
            name: data.Split(*(array[:size] for array in getattr(dataset, name)))
            for name, size in sizes.items()
        }
    )


def test_run_learns_and_reports_every_epoch(few: data.Dataset) -> None:
    reports: list[training.Run] = []
    run = training.run(dataclasses.replace(SMALL, epochs=15), few, on_epoch=reports.append)
    assert [len(report.epochs) for report in reports] == list(range(1, 16))
    assert [epoch.number for epoch in run.epochs] == list(range(1, 16))
    assert run.epochs[0].training_loss > run.final.training_loss
    assert run.final.train.percent > 70
    assert (run.final.train.total, run.final.validation.total, run.final.test.total) == (
        200,
        50,
        60,
    )
    assert training.evaluate(run.model, few.test) == run.final.test


@pytest.mark.parametrize("network", config.NETWORKS)
def test_networks_learn(few: data.Dataset, network: str) -> None:
    settings = dataclasses.replace(SMALL, epochs=8, learning_rate=0.003, **config.NETWORKS[network])
    assert training.run(settings, few).final.train.percent > 40


def test_run_is_repeatable(few: data.Dataset) -> None:
    first, again, other = (
        training.run(dataclasses.replace(SMALL, seed=seed), few) for seed in (5, 5, 6)
    )
    for name, value in networks.weights(first.model).items():
        assert np.array_equal(value, networks.weights(again.model)[name])
    assert [epoch.test for epoch in first.epochs] == [epoch.test for epoch in again.epochs]
    assert first.final.training_loss != other.final.training_loss


# Where a run is asked to stop: an epoch has two executions of steps and then three evaluations.
@pytest.mark.parametrize("question", [1, 4, 6, 10])
def test_stopped_run_continues_as_if_it_had_not_been(few: data.Dataset, question: int) -> None:
    settings = dataclasses.replace(SMALL, schedule="cosine")
    undisturbed = training.run(settings, few)
    states: list[training.State] = []
    logged: list[tuple[int, float]] = []
    logger = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logged.append((epoch, logs["val_accuracy"]))
    )
    questions = itertools.count(1)
    with pytest.raises(KeyboardInterrupt):
        training.run(
            settings,
            few,
            loggers=[logger],
            save=states.append,
            stop_requested=lambda: next(questions) == question,
        )
    assert (len(states[-1].epochs), states[-1].step) == (
        (question - 1) // 5,
        (5, 10, 10, 10, 10)[(question - 1) % 5],
    )
    continued = training.run(settings, few, loggers=[logger], start=states[-1], save=states.append)
    assert logged == [
        (epoch.number - 1, epoch.validation.percent / 100) for epoch in undisturbed.epochs
    ]
    for name, value in networks.weights(undisturbed.model).items():
        assert np.array_equal(value, networks.weights(continued.model)[name])
    for expected, actual in zip(undisturbed.epochs, continued.epochs, strict=True):
        assert expected == dataclasses.replace(
            actual,
            training_seconds=expected.training_seconds,
            evaluation_seconds=expected.evaluation_seconds,
        )
    best = states[undisturbed.best.number - continued.final.number - 1].arrays["weights"]
    for array, other in zip(best, states[-1].arrays["best"], strict=True):
        assert np.array_equal(array, other)


def test_diverged_run_ends_with_its_last_finite_state(few: data.Dataset) -> None:
    states: list[training.State] = []
    settings = dataclasses.replace(SMALL, learning_rate=1e38)
    with pytest.raises(DivergedError, match="seed 0 has diverged in epoch 1: after step 5"):
        training.run(settings, few, save=states.append)
    (state,) = states
    assert (state.epochs, state.step) == ((), 0)


def test_kernels_agree_over_fifty_steps(dataset: data.Dataset) -> None:
    losses = {}
    for kernel in config.KERNELS:
        settings = config.Config(kernel=kernel)
        model = training.compiled(networks.build(settings), settings)
        record = training.BatchLosses()
        batches = training.batches(settings, dataset)
        training.fit(model, batches, steps=50, callbacks=[record])
        losses[kernel] = record.values
    assert len(losses["fast"]) == 50
    # As close as a Keras port comes to the recorded original; see `verification.LOSS_BOUNDS`.
    np.testing.assert_allclose(losses["fast"], losses["keras"], rtol=0, atol=1e-3)


def test_steps_executed_at_once_change_nothing(few: data.Dataset) -> None:
    weights = []
    for at_once in (1, 10):
        model = training.compiled(networks.build(SMALL), SMALL, steps=at_once)
        training.fit(model, training.batches(SMALL, few), steps=10, epochs=2)
        weights.append(networks.weights(model))
    for name, value in weights[0].items():
        assert np.array_equal(value, weights[1][name])


def test_batches_follow_the_order(few: data.Dataset) -> None:
    batches = list(training.batches(SMALL, few).take(20))
    fed = np.concatenate([labels for _, labels in batches])
    first, second = (
        data.epoch_order(SMALL.seed, epoch, train_size=200, test_size=60, batch_size=20).train
        for epoch in (0, 1)
    )
    assert np.array_equal(fed, few.train.labels[np.concatenate([first, second])])
    assert np.array_equal(batches[0][0], few.train.images[first[:20]])


def test_best_is_the_earliest_of_the_best_epochs_on_held_out_images() -> None:
    def epoch(number: int, validation: int, test: int) -> training.Epoch:
        train, held_out, tested = (
            training.Score(correct, 100, 0.1) for correct in (90, validation, test)
        )
        return training.Epoch(number, 0.1, train, held_out, tested, 1.0, 1.0)

    epochs = (epoch(1, 90, 99), epoch(2, 95, 91), epoch(3, 95, 98), epoch(4, 94, 97))
    run = training.Run(SMALL, epochs, model=None)
    assert run.best.number == 2
    assert run.final.number == 4


def test_score_counts_and_averages() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.3, 0.5]], np.float32))
    score = training.score(logits, np.array([0, 1, 0], np.uint8))
    assert (score.correct, score.total) == (2, 3)
    assert score.percent == pytest.approx(200 / 3)
    assert score.loss == pytest.approx(-np.mean(np.log([0.7, 0.6, 0.2])), rel=1e-6)
