"""A gate in this process, of the program as it is or with a network of one's own."""

import dataclasses
import time
from collections.abc import Callable

import keras

from lstm_mnist import data, training
from lstm_mnist.config import Config
from lstm_mnist.studies import golden
from lstm_mnist.studies.calibration import Calibration
from lstm_mnist.studies.gate import Plan
from lstm_mnist.studies.outcome import GateRun, Outcome


def gate(
    known: Calibration,
    dataset: data.Dataset,
    build: Callable[[Config], keras.Model],
    plan: Plan,
    seed: int,
) -> Outcome:
    """Train runs of a network, from `seed` on, until a drop is shown or refuted."""
    began = time.perf_counter()
    first_steps = golden.compute(known.config, dataset, build)
    found = Outcome(
        calibration=known, plan=plan, golden=golden.difference(first_steps, known.golden)
    )
    while not (found.standings and found.decided):
        config = dataclasses.replace(known.config, seed=seed + len(found.runs))
        keras.utils.clear_session()  # of the previous run
        run_began = time.perf_counter()
        run, _ = training.run(config, dataset, build=build)
        seconds = time.perf_counter() - run_began
        found = found.after(GateRun(config.seed, run.final.test.percent, seconds))
    return dataclasses.replace(found, seconds=time.perf_counter() - began)
