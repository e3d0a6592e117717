"""Train the network, evaluate it after every epoch, and compare with the reported accuracy."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from lstm_mnist import artifacts, comparison, config, runtime
from lstm_mnist.commands import common

if TYPE_CHECKING:
    from lstm_mnist.training import Run

_DEFAULT = config.Config()
_EPOCHS = flags.DEFINE_integer("epochs", _DEFAULT.epochs, "Passes of training.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    _DEFAULT.batch_size,
    "Examples per training step.",
    lower_bound=1,
    upper_bound=55_000,
)
_LEARNING_RATE = flags.DEFINE_float("learning_rate", _DEFAULT.learning_rate, "Adam's step size.")
flags.register_validator(
    "learning_rate", lambda rate: math.isfinite(rate) and rate > 0, "must be a number above 0"
)
_UNITS = flags.DEFINE_integer("units", _DEFAULT.units, "Size of the LSTM's states.", lower_bound=1)
_SEED = flags.DEFINE_integer(
    "seed",
    _DEFAULT.seed,
    "Determines the initial weights and the order of the examples.",
    lower_bound=0,
    upper_bound=2**32 - 1,  # what NumPy's generator takes
)
_VARIANT = flags.DEFINE_enum(
    "variant",
    config.DEFAULT_VARIANT,
    list(config.VARIANTS),
    "original: what the script does under TensorFlow 1.15 (cell, hard_sigmoid, rows); "
    "document: the same with sigmoid gates; prose: what its text says (hidden, sigmoid, columns).",
)
_READOUT = flags.DEFINE_enum(
    "readout", None, config.READOUTS, "State that the dense layer reads. By default the variant's."
)
_GATE = flags.DEFINE_enum(
    "gate", None, config.GATES, "Activation of the gates. By default the variant's."
)
_SCAN = flags.DEFINE_enum("scan", None, config.SCANS, "Time step. By default the variant's.")
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "New or empty folder for the results. By default runs/<time>-seed<seed>."
)
flags.adopt_module_key_flags(common)


def main() -> int:
    """Run the command. Raises UserError."""
    settings = _settings()
    data_dir = common.data_dir()
    folder = Path(_OUTPUT_DIR.value or artifacts.default_folder(settings.seed))
    artifacts.check_folder(folder)
    started = time.perf_counter()
    device = runtime.start(common.DEVICE.value, common.KERNEL.value)
    from lstm_mnist import data, networks, training

    dataset = data.load(data_dir, progress=common.progress())
    artifacts.create_folder(folder)
    artifacts.write_json(folder / artifacts.CONFIG, settings.as_dict())
    print(_heading(settings, device), flush=True)
    run = training.run(
        settings, dataset, on_epoch=_epoch_reporter(folder), progress=common.progress()
    )
    artifacts.write_model(folder / artifacts.FINAL_MODEL, networks.portable(run.model, settings))
    result = {
        "config": settings.as_dict(),
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
    print(f"\n{comparison.summary(run)}\n\nResults: {folder}")
    return 0


def _settings() -> config.Config:
    parts = {"readout": _READOUT.value, "gate": _GATE.value, "scan": _SCAN.value}
    return config.variant(
        _VARIANT.value,
        epochs=_EPOCHS.value,
        batch_size=_BATCH_SIZE.value,
        learning_rate=_LEARNING_RATE.value,
        units=_UNITS.value,
        seed=_SEED.value,
        kernel=common.KERNEL.value,
        **{name: value for name, value in parts.items() if value is not None},
    )


def _heading(settings: config.Config, device: dict[str, Any]) -> str:
    return (
        f"Variant {settings.variant}: {settings.gate} gates, {settings.readout} state read out, "
        f"{settings.scan} as time steps; seed {settings.seed}\n"
        f"{device['kind']}: {device['name']}, {device['cores']} cores"
    )


def _epoch_reporter(folder: Path) -> Callable[["Run"], None]:
    """Return a function that prints an epoch as the original script does, and saves it."""

    from lstm_mnist import networks

    def report(run: "Run") -> None:
        artifacts.write_history(folder / artifacts.HISTORY, run.epochs)
        if run.best is run.final:
            model = networks.portable(run.model, run.config)
            artifacts.write_model(folder / artifacts.BEST_MODEL, model)
        print(f"========== Iter {run.final.number - 1} ==========")
        print(f"Train set accuracy: {run.final.train.percent} %")
        print(f"Test set accuracy: {run.final.test.percent} %", flush=True)

    return report
