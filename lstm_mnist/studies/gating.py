"""A gate in this process, of the program as it is or with a network of one's own."""

import dataclasses
import time
from collections.abc import Callable

import keras

from lstm_mnist import data, training
from lstm_mnist.config import Config
from lstm_mnist.studies import golden, protocol, sequential
from lstm_mnist.studies.calibration import Calibration
from lstm_mnist.studies.gate import Plan
from lstm_mnist.studies.outcome import GateRun, Outcome
from lstm_mnist.system.errors import DivergedError


def gate(
    known: Calibration,
    dataset: data.Dataset,
    build: Callable[[Config], keras.Model],
    plan: Plan,
    seed: int,
) -> Outcome:
    """Train runs of a network, from `seed` on, until a drop is shown or refuted.

    Raises UsageError where the calibration's runs spread too much for the plan.
    """
    began = time.perf_counter()
    sequential.check(known.baseline, plan)
    first_steps = golden.compare(known.config, dataset, known.golden, build)
    found = Outcome(calibration=known, plan=plan, golden=first_steps)
    while not (found.standings and found.decided):
        config = dataclasses.replace(known.config, seed=seed + len(found.runs))
        keras.utils.clear_session()  # of the previous run
        run_began = time.perf_counter()
        try:
            run, _ = training.run(config, dataset, build=build)
            accuracy = run.final.test.percent
        except DivergedError:
            accuracy = protocol.ALL_NAMED_0
        seconds = time.perf_counter() - run_began
        found = found.after(GateRun(config.seed, accuracy, seconds))
    return dataclasses.replace(found, seconds=time.perf_counter() - began)
