"""One run from its settings to a finished folder."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from lstm_mnist import data, training
from lstm_mnist.config import Config
from lstm_mnist.recurrence import layers, library
from lstm_mnist.results import Observer, Run, State
from lstm_mnist.runs import checkpoints, model_files, probes, run_folder
from lstm_mnist.system import files, runtime
from lstm_mnist.system.errors import DivergedError, UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extras:
    """What a run's folder holds on request."""

    dynamics: bool = False
    tensorboard: bool = False


_NOTHING, _NOBODY = Extras(), Observer()


def execute(
    config: Config,
    dataset: data.Dataset,
    folder: Path,
    *,
    device: dict[str, Any],
    extras: Extras = _NOTHING,
    store: checkpoints.Store | None = None,
    observer: Observer = _NOBODY,
) -> Run:
    """Train in a folder, keeping its files up to date, and return the finished run.

    `device` is what `runtime.start` returned. The folder has a result file when the run is
    finished, and not before; a run that diverges leaves a file that says so. With a `store`, the
    run begins at `store.start` and saves its checkpoints in it. `observer` watches as in
    `training.run`, but is not given states. Raises OutputError, what `training.run` raises, and
    UsageError where the run was begun with another arithmetic, or other settings of Keras, than
    this process's.
    """
    arithmetic = library.arithmetic(layers.choose(config.kernel))
    start = store.start if store else None
    if start and start.arithmetic != arithmetic:
        raise UsageError(
            f"{folder} was begun by arithmetic {start.arithmetic}, and here it is {arithmetic}: "
            "continue where the run began, or begin another one"
        )
    if start and start.device.get("keras") != device.get("keras"):
        raise UsageError(
            f"{folder} was begun by Keras with {start.device.get('keras')}, and here it has "
            f"{device.get('keras')}: continue as the run began, or begin another one"
        )
    began = time.perf_counter() - (start.seconds if start else 0)
    callbacks = [*observer.callbacks]
    recorder = None
    if extras.dynamics:
        recorder = probes.Recorder(config, dataset.train, start.dynamics if start else None)
        callbacks.append(recorder)
    if extras.tensorboard:
        logs = folder / run_folder.TENSORBOARD
        callbacks.append(keras.callbacks.TensorBoard(logs, histogram_freq=1))
    keeper = _Keeper(folder, arithmetic, device, store, observer, callbacks, recorder, began)
    if start:
        # An epoch may have been finished, but not saved, when the run was interrupted.
        run_folder.remove_results(folder)
        if start.state.run.epochs:
            keeper.write(start.state)
    origin = {
        "config": config.as_dict(),
        "arithmetic": arithmetic,
        "versions": runtime.versions(),
        "device": device,
        "data_sha256": data.SPLIT_SHA256,
        "git": runtime.git_state(),
        "program_sha256": runtime.program_sha256(),
    }
    try:
        run, model = training.run(
            config, dataset, observer=keeper, start=start.state if start else None
        )
    except DivergedError as error:
        seconds = round(time.perf_counter() - began, 3)
        diverged = {**origin, "diverged": str(error), "seconds": seconds}
        files.write_json(folder / run_folder.DIVERGED, diverged)
        raise
    model_files.write(folder / run_folder.FINAL_MODEL, model.get_weights(), config)
    result = {
        "final": run_folder.epoch_as_dict(run.final),
        "best_by_validation": run_folder.epoch_as_dict(run.best),
        "seconds": {
            "total": round(time.perf_counter() - began, 3),
            "training": round(sum(epoch.training_seconds for epoch in run.epochs), 3),
            "evaluation": round(sum(epoch.evaluation_seconds for epoch in run.epochs), 3),
        },
        **origin,
    }
    files.write_json(folder / run_folder.RESULT, result)
    return run


class _Keeper(Observer):
    """Keeps an unfinished run's files and checkpoints; passes the rest on to another observer."""

    def __init__(
        self,
        folder: Path,
        arithmetic: str,
        device: dict[str, Any],
        store: checkpoints.Store | None,
        observer: Observer,
        callbacks: Sequence[keras.callbacks.Callback],
        recorder: probes.Recorder | None,
        began: float,
    ) -> None:
        self.callbacks = callbacks
        self._folder = folder
        self._arithmetic = arithmetic
        self._device = device
        self._store = store
        self._observer = observer
        self._recorder = recorder
        self._began = began

    def save(self, state: State) -> None:
        """Save a checkpoint, and write the files of a finished epoch."""
        if self._store:
            recorded = self._recorder.recorded if self._recorder else None
            seconds = time.perf_counter() - self._began
            self._store.save(
                state, recorded, seconds, arithmetic=self._arithmetic, device=self._device
            )
        # After a checkpoint: the two together mark the folder as an unfinished run's.
        if not (self._folder / run_folder.CONFIG).exists():
            files.write_json(self._folder / run_folder.CONFIG, state.run.config.as_dict())
        if state.run.epochs and not state.step:
            self.write(state, best=state.run.best is state.run.final)

    def write(self, state: State, *, best: bool = True) -> None:
        """Write the results of the finished epochs; `best` writes the best network as well."""
        run_folder.write_history(self._folder / run_folder.HISTORY, state.run.epochs)
        if self._recorder:
            run_folder.write_table(self._folder / run_folder.DYNAMICS, self._recorder.points)
            run_folder.write_table(self._folder / run_folder.EPOCH_DYNAMICS, self._recorder.epochs)
        if best:
            model_files.write(self._folder / run_folder.BEST_MODEL, state.best, state.run.config)

    def tell(self, run: Run) -> None:
        """Pass the run on to the observer."""
        self._observer.tell(run)

    def stop_requested(self) -> bool:
        """Ask the observer."""
        return self._observer.stop_requested()
