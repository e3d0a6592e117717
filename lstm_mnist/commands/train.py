"""Train the network, evaluate it after every epoch, and compare with the reported accuracy."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from lstm_mnist import config
from lstm_mnist.commands import common, paths, recipe, reports, settings, thresholds
from lstm_mnist.recurrence import library
from lstm_mnist.results import Observer, Run
from lstm_mnist.runs import checkpoints, memory, run_folder
from lstm_mnist.studies import pooling, records, reference
from lstm_mnist.studies.gate import Gate, enforced
from lstm_mnist.system import files, runtime, signals
from lstm_mnist.system.errors import DivergedError, OutputError, UsageError

if TYPE_CHECKING:
    from lstm_mnist.data import Dataset

_SEED = settings.define("seed")
_VARIANT = flags.DEFINE_enum(
    "variant",
    config.DEFAULT_VARIANT,
    list(config.VARIANTS),
    config.VARIANTS_HELP,
)
_TENSORBOARD = flags.DEFINE_bool(
    "tensorboard", False, "Write logs for TensorBoard: losses, accuracies and weights by epoch."
)
_OUTPUT_DIR = paths.define(
    "output_dir",
    None,
    "New or empty folder for the results, or that of an unfinished run with the same settings, "
    "which is continued. By default runs/<time>-seed<seed>.",
    OutputError,
)
_RESUME = paths.define(
    "resume", None, "Folder of an unfinished run, which is continued with its own settings."
)
flags.adopt_module_key_flags(recipe)
flags.adopt_module_key_flags(thresholds)
flags.adopt_module_key_flags(common)


def main(arguments: Sequence[str]) -> int:
    """Run the command. Raises UserError."""
    common.refuse(arguments)
    gate = thresholds.wanted()
    data_dir = common.data_dir()
    asked = recipe.chosen(_VARIANT.value, _SEED.value)
    folder, new = _folder(asked)
    # Fail before a folder is made.
    if new:
        files.check_folder(folder.parent, _OUTPUT_DIR.name, left_over=lambda path: True)
    start = None if new else _checkpoint(folder, asked)
    memory.check(start.config if start else asked)
    with checkpoints.held(folder, new=new) as folder:
        # Another process may have used the folder before it was locked.
        start = None if new else _checkpoint(folder, asked)
        try:
            _train(folder, start, asked, data_dir, gate)
        except KeyboardInterrupt as interrupt:
            if checkpoints.begun(folder):
                command = f"python -m lstm_mnist --resume={shlex.quote(str(folder))}"
                raise KeyboardInterrupt(
                    f"what was reached is saved; go on by {command}"
                ) from interrupt
            raise
        except DivergedError as error:
            raise DivergedError(
                f"{error}; what was before stays in {folder / checkpoints.FOLDER}: "
                "a smaller --learning_rate may help"
            ) from error
    return 0


def _folder(asked: config.Config) -> tuple[Path, bool]:
    """Return the run's folder, and whether another may be taken in its place. Raises UsageError."""
    if _RESUME.value is None:
        named = _OUTPUT_DIR.value
        return Path(named or run_folder.default_folder(asked.seed)), not named
    if _OUTPUT_DIR.value is not None:
        raise UsageError("--resume and --output_dir both name the run's folder: give one of them")
    folder = Path(_RESUME.value)
    if not folder.is_dir():
        raise UsageError(f"--resume={folder} is not a folder")
    if (folder / run_folder.RESULT).exists() and not checkpoints.begun(folder):
        raise UsageError(f"--resume={folder}: that run is finished")
    return folder, False


def _checkpoint(folder: Path, asked: config.Config) -> checkpoints.Checkpoint | None:
    """Return what a folder's run is continued from, or None for a new run.

    Raises CheckpointError, and UsageError where the flags ask for another run.
    """
    if _RESUME.value is None and not checkpoints.begun(folder):
        checkpoints.check_new(folder)
        return None
    checkpoint = checkpoints.newest(folder)
    resumed = _RESUME.value is not None
    different = [
        f"{name} is {getattr(checkpoint.config, name)}, not {getattr(asked, name)}"
        for name in asked.differences(checkpoint.config)
        if not resumed or name in recipe.given()
    ]
    recorded = checkpoint.dynamics is not None
    asked_for = recipe.RECORD_DYNAMICS
    if recorded != asked_for.value and not (resumed and not asked_for.present):
        different.append(f"record_dynamics is {recorded}, not {asked_for.value}")
    if different:
        raise UsageError(
            f"{folder} holds an unfinished run with other settings ({'; '.join(different)}): "
            "continue it by --resume without these flags, or name another folder"
        )
    return checkpoint


def _train(
    folder: Path,
    start: checkpoints.Checkpoint | None,
    asked: config.Config,
    data_dir: str | None,
    gate: Gate,
) -> None:
    """Train what is left of a run, write its report, and judge it by the gate."""
    settings = start.config if start else asked
    for reason in start.passed_over if start else ():
        print(f"lstm_mnist: {reason}: passed over", file=sys.stderr)
    device = runtime.start(common.DEVICE.value, library.choose(settings.kernel))
    if start and (warning := _other_bits(start, device)):
        print(f"lstm_mnist: {warning}", file=sys.stderr)
    from lstm_mnist import data
    from lstm_mnist.runs import execution

    dataset = data.load(data_dir, progress=common.progress())
    print(_heading(settings, device), flush=True)
    if start:
        print(f"Continuing {folder} at {start.place}", flush=True)
    extras = execution.Extras(
        dynamics=start.dynamics is not None if start else recipe.RECORD_DYNAMICS.value,
        # A run that has logs continues them.
        tensorboard=_TENSORBOARD.value or (folder / run_folder.TENSORBOARD).is_dir(),
    )
    store = checkpoints.Store(folder, start)
    with signals.postponed() as stop_requested:
        run = execution.execute(
            settings,
            dataset,
            folder,
            device=device,
            extras=extras,
            store=store,
            observer=_Terminal(stop_requested, bar=common.progress()),
        )
    finished = records.read_folder(folder)
    with enforced(gate.failures_of_run(f"seed {settings.seed}", finished)):
        print(f"\n{reference.summary(run)}\n\nResults: {folder}", flush=True)
        _report(folder, finished, dataset)
        store.clear()
        if gate.asks:
            from lstm_mnist.studies import alarms

            print(f"\n{alarms.told(gate, finished)}", flush=True)


def _other_bits(start: checkpoints.Checkpoint, device: dict[str, Any]) -> str | None:
    """Return a warning if a run continues on a device that rounds differently, else None."""
    before, now = (f"{told['kind']}, {told['cores']} cores" for told in (start.device, device))
    if before == now or (start.arithmetic.startswith("compiled") and device["kind"] == "CPU"):
        return None
    return (
        f"the run began on {before}, and goes on on {now}: its bits depend on that, and will not "
        "be those of an undisturbed run"
    )


def _report(folder: Path, run: records.Record, dataset: "Dataset") -> None:
    """Write the report of a finished run into its folder."""
    from lstm_mnist.runs import model_files
    from lstm_mnist.studies import mistakes

    found = mistakes.find(model_files.load(folder / run_folder.BEST_MODEL), dataset.test)
    groups = pooling.pooled([run])
    reports.write(folder / run_folder.REPORT, groups, found)


def _heading(settings: config.Config, device: dict[str, Any]) -> str:
    cell = (
        f"{settings.recurrent_activation} gates, {settings.readout} state read out"
        if settings.cell == "lstm"
        else "no gates"
    )
    missing = settings.kernel == "auto" and device["kind"] == "CPU" and library.best() is None
    return (
        f"Variant {settings.variant}, network {settings.network}: {cell}, "
        f"{settings.scan} as time steps; seed {settings.seed}\n"
        f"{device['kind']}: {device['name']}, {device['cores']} cores"
        + (f"\nKeras' own layers are taken: {library.NOT_BUILT}" if missing else "")
    )


class _Terminal(Observer):
    """Prints an epoch as the original script does; `bar` shows Keras' progress bar as well."""

    def __init__(self, stop_requested: Callable[[], bool], *, bar: bool) -> None:
        import keras

        self._stop_requested = stop_requested
        self.callbacks = [keras.callbacks.ProgbarLogger()] if bar else []

    def tell(self, run: Run) -> None:
        """Print the last epoch's accuracies."""
        print(f"========== Iter {run.final.number - 1} ==========")
        print(f"Train set accuracy: {run.final.train.percent} %")
        print(f"Test set accuracy: {run.final.test.percent} %", flush=True)

    def stop_requested(self) -> bool:
        """Return whether a signal came."""
        return self._stop_requested()
