"""A gate in this process, of the program as it is or with a network of one's own."""

import dataclasses
import itertools
import time
from collections.abc import Callable

import keras

from lstm_mnist import data, training
from lstm_mnist.config import TOTALS, Config
from lstm_mnist.studies import golden, outcome, protocol, sequential
from lstm_mnist.studies.calibration import Calibration
from lstm_mnist.studies.gate import Plan
from lstm_mnist.system.errors import DivergedError, UsageError


def gate(
    known: Calibration,
    dataset: data.Dataset,
    build: Callable[[Config], keras.Model],
    plan: Plan,
    seed: int,
) -> outcome.Outcome:
    """Train runs of a network, from `seed` on, until a drop is shown or refuted.

    Raises UsageError where the calibration's runs spread too much for the plan, or the data has
    another number of test images.
    """
    began = time.perf_counter()
    if (images := len(dataset.test.labels)) != TOTALS["test"]:
        raise UsageError(f"the data has {images} test images, {known.name} is of {TOTALS['test']}")
    sequential.check(known.baseline, plan)
    first_steps = golden.compare(known.config, dataset, known.golden, build)
    found = outcome.until_decided(
        outcome.Outcome(calibration=known, plan=plan, golden=first_steps),
        (
            _run(dataclasses.replace(known.config, seed=each), dataset, build)
            for each in itertools.count(seed)
        ),
    )
    return dataclasses.replace(found, seconds=time.perf_counter() - began)


def _run(
    config: Config, dataset: data.Dataset, build: Callable[[Config], keras.Model]
) -> outcome.GateRun:
    """Train a run; one that diverged has the accuracy of a network that names every image 0."""
    began = time.perf_counter()
    keras.utils.clear_session()  # of the previous run
    try:
        run, _ = training.run(config, dataset, build=build)
        accuracy = run.final.test.percent
    except DivergedError:
        accuracy = protocol.ALL_NAMED_0
    return outcome.GateRun(config.seed, accuracy, time.perf_counter() - began)
