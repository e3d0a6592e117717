"""One run from its settings to a finished folder."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lstm_mnist import artifacts, data, dynamics, networks, runtime, training
from lstm_mnist.config import Config


def execute(
    config: Config,
    dataset: data.Dataset,
    folder: Path,
    *,
    device: dict[str, Any],
    on_epoch: Callable[[training.Run], None] | None = None,
    record_dynamics: bool = False,
    progress: bool = False,
) -> training.Run:
    """Train in a new or empty folder, keeping its files up to date, and return the finished run.

    `device` is what `runtime.start` returned. The folder has a result file when the run is
    finished, and not before. Raises OutputError.
    """
    started = time.perf_counter()
    artifacts.create_folder(folder)
    artifacts.write_json(folder / artifacts.CONFIG, config.as_dict())

    recorders = [dynamics.Recorder(dataset.train)] if record_dynamics else []

    def keep(run: training.Run) -> None:
        artifacts.write_history(folder / artifacts.HISTORY, run.epochs)
        for recorder in recorders:
            artifacts.write_table(folder / artifacts.DYNAMICS, recorder.points)
        if run.best is run.final:
            model = networks.portable(run.model, config)
            artifacts.write_model(folder / artifacts.BEST_MODEL, model)
        if on_epoch:
            on_epoch(run)

    run = training.run(config, dataset, on_epoch=keep, callbacks=recorders, progress=progress)
    artifacts.write_model(folder / artifacts.FINAL_MODEL, networks.portable(run.model, config))
    result = {
        "config": config.as_dict(),
        "final": artifacts.epoch_as_dict(run.final),
        "best_by_validation": artifacts.epoch_as_dict(run.best),
        "seconds": {
            "total": round(time.perf_counter() - started, 3),
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
