"""One run from its settings to a finished folder."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from lstm_mnist import artifacts, checkpoints, data, dynamics, networks, runtime, training
from lstm_mnist.config import Config


def execute(
    config: Config,
    dataset: data.Dataset,
    folder: Path,
    *,
    device: dict[str, Any],
    on_epoch: Callable[[training.Run], None] | None = None,
    record_dynamics: bool = False,
    tensorboard: bool = False,
    progress: bool = False,
    store: checkpoints.Store | None = None,
    start: checkpoints.Checkpoint | None = None,
    stop_requested: Callable[[], bool] | None = None,
) -> training.Run:
    """Train in a folder, keeping its files up to date, and return the finished run.

    `device` is what `runtime.start` returned. The folder has a result file when the run is
    finished, and not before. Where there is a `store`, the run can be continued from the last
    checkpoint in it, `start`. See `training.run` for the rest and what is raised; also raises
    OutputError.
    """
    begun = time.perf_counter() - (start.seconds if start else 0)
    recorders = []
    if record_dynamics:
        recorders.append(dynamics.Recorder(dataset.train, start.points() if start else []))

    def write_epochs(epochs: tuple[training.Epoch, ...]) -> None:
        artifacts.write_history(folder / artifacts.HISTORY, epochs)
        for recorder in recorders:
            artifacts.write_table(folder / artifacts.DYNAMICS, recorder.points)

    def write_model(name: str, weights: Any) -> None:
        artifacts.write_model(folder / name, networks.portable(weights, config))

    def save(state: training.State) -> None:
        if store:
            points = recorders[0].points if recorders else None
            store.save(state, points, time.perf_counter() - begun)
        # Once there is a checkpoint, the settings make the folder an unfinished run's.
        if not (folder / artifacts.CONFIG).exists():
            artifacts.write_json(folder / artifacts.CONFIG, config.as_dict())

    def keep(run: training.Run) -> None:
        write_epochs(run.epochs)
        if run.best is run.final:
            write_model(artifacts.BEST_MODEL, run.model.get_weights())
        if on_epoch:
            on_epoch(run)

    state = start.state() if start else None
    if state:
        # An epoch may have been finished, but not saved, when the run was interrupted.
        artifacts.remove_results(folder)
        if state.epochs:
            write_epochs(state.epochs)
            write_model(artifacts.BEST_MODEL, state.arrays["best"])
    loggers = []
    if tensorboard:
        logs = folder / artifacts.TENSORBOARD
        loggers.append(keras.callbacks.TensorBoard(logs, histogram_freq=1))
    run = training.run(
        config,
        dataset,
        on_epoch=keep,
        callbacks=recorders,
        loggers=loggers,
        progress=progress,
        start=state,
        save=save,
        stop_requested=stop_requested,
    )
    write_model(artifacts.FINAL_MODEL, run.model.get_weights())
    result = {
        "config": config.as_dict(),
        "final": artifacts.epoch_as_dict(run.final),
        "best_by_validation": artifacts.epoch_as_dict(run.best),
        "seconds": {
            "total": round(time.perf_counter() - begun, 3),
            "training": round(sum(epoch.training_seconds for epoch in run.epochs), 3),
            "evaluation": round(sum(epoch.evaluation_seconds for epoch in run.epochs), 3),
        },
        "versions": runtime.versions(),
        "device": device,
        "data_sha256": data.SPLIT_SHA256,
        "git": runtime.git_state(),
    }
    artifacts.write_json(folder / artifacts.RESULT, result)
    return run
