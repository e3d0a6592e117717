"""Hold the program against calibrated runs: has the test accuracy dropped?"""

import contextlib
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from lstm_mnist import config
from lstm_mnist.commands import common, paths, recipe
from lstm_mnist.recurrence import library
from lstm_mnist.runs import memory
from lstm_mnist.studies import calibration, fleet, outcome, records
from lstm_mnist.studies.gate import BELOW, MAX_RUNS, Plan, enforced
from lstm_mnist.system import files, runtime
from lstm_mnist.system.errors import DataError, OutputError, UsageError

if TYPE_CHECKING:
    from lstm_mnist.data import Dataset

EPOCHS = 2
FIRST_SEED, FIRST_CALIBRATED = 0, 1000
SUMMARY = "GITHUB_STEP_SUMMARY"  # GitHub's name for the file of a step's summary

_QUICK = flags.DEFINE_bool(
    "quick", False, "Compare the first steps with the calibration's, bit for bit, and train no run."
)
_AGAINST = paths.define(
    "against",
    None,
    "Calibration that the program is held against, a file of --calibrate. By default the one that "
    "is part of the package.",
    DataError,
)
_FALSE_ALARM = flags.DEFINE_float(
    "false_alarm", Plan.false_alarm, "Probability that a program that has not changed fails."
)
_POWER = flags.DEFINE_float(
    "power", Plan.power, "Probability that a program of which every run has lost --drop fails."
)
_DROP = flags.DEFINE_float("drop", Plan.drop, "Drop of the test accuracy to be found, in points.")
_MAX_RUNS = flags.DEFINE_integer(
    "max_runs", Plan.max_runs, "Undecided after as many runs is exit code 6.", 2, MAX_RUNS
)
_SEED = flags.DEFINE_integer(
    "seed",
    None,
    f"Seed of the first run; further ones follow. By default {FIRST_SEED}, and {FIRST_CALIBRATED} "
    "with --calibrate.",
    lower_bound=0,
    upper_bound=2**31,
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    1,
    "Runs trained side by side, sharing the cores; 1 trains them in this process.",
    lower_bound=1,
)
_JUNIT = paths.define("junit", None, "File for the verdict in JUnit's XML.", OutputError)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object, at the end, in place of the text.")
_CALIBRATE = flags.DEFINE_bool(
    "calibrate", False, "Train --runs runs of the program as it is, and keep them in --save."
)
_RUNS = flags.DEFINE_integer("runs", None, "Runs of --calibrate.", calibration.MIN_RUNS, MAX_RUNS)
_SAVE = paths.define("save", None, "File of --calibrate, which --against reads.", OutputError)
_STUDY_DIR = paths.define(
    "study_dir",
    "runs/calibration",
    "Folder of --calibrate; what is finished there is not trained again.",
    OutputError,
)
_VARIANT = flags.DEFINE_enum("variant", "stable", list(config.VARIANTS), config.VARIANTS_HELP)
for _name in recipe.NAMES:
    flags.declare_key_flag(_name)
flags.adopt_module_key_flags(common)
flags.FLAGS.set_default("epochs", EPOCHS)


for _name, _most in BELOW.items():
    flags.register_validator(
        _name,
        lambda value, most=_most: 0 < value < most,
        f"must be above 0 and below {_most}",
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command. Raises UserError; AccuracyError where the program does not pass."""
    began = time.perf_counter()
    common.refuse(arguments)
    _refuse_flags_without_effect()
    paths.check_outputs(paths.of(_JUNIT.value, _SAVE.value), kept=paths.of(_AGAINST.value))
    if _JUNIT.value:
        _remove_verdict(Path(_JUNIT.value))
    data_dir = common.data_dir()
    if _WORKERS.value > 1:
        fleet.check_installed(_WORKERS.name)
    if _CALIBRATE.value:
        _calibrate(data_dir)
        return 0
    if os.environ.get(SUMMARY):
        files.check_file(Path(os.environ[SUMMARY]))
    known = calibration.read(Path(_AGAINST.value or calibration.COMMITTED))
    plan = Plan(
        false_alarm=_FALSE_ALARM.value,
        power=_POWER.value,
        drop=_DROP.value,
        max_runs=_MAX_RUNS.value,
    )
    runs = _configs(known.config, _SEED.value or FIRST_SEED, plan.max_runs)
    _check(known, plan, runs)
    found = _judged(known, plan, runs, data_dir)
    found = dataclasses.replace(found, seconds=time.perf_counter() - began)
    with enforced([] if found.passed else [found.sentence]):
        if _JUNIT.value:
            files.write_text(Path(_JUNIT.value), found.junit())
        if path := os.environ.get(SUMMARY):
            _append(Path(path), found.markdown())
        if _JSON.value:
            print(json.dumps(found.as_dict(), indent=1, allow_nan=False), flush=True)
        else:
            _tell(f"{found.sentence}. {found.seconds:.0f} s.")
            _tell(*(_notes(found)))
    return 0


def _refuse_flags_without_effect() -> None:
    """Raise UsageError for flags of a gate with --calibrate, and for its flags without it."""
    of_gates = (_QUICK, _AGAINST, _FALSE_ALARM, _POWER, _DROP, _MAX_RUNS, _JUNIT, _JSON)
    for flag in of_gates if _CALIBRATE.value else (_RUNS, _SAVE, _STUDY_DIR):
        if flag.present:
            how = "is for a gate: omit it with" if _CALIBRATE.value else "goes with"
            raise UsageError(f"--{flag.name} {how} --{_CALIBRATE.name}")
    for flag in (_DROP, _FALSE_ALARM, _POWER, _MAX_RUNS, _SEED, _WORKERS) if _QUICK.value else ():
        if flag.present:
            raise UsageError(f"--{_QUICK.name} trains no run: omit --{flag.name}")


def _remove_verdict(path: Path) -> None:
    """Remove an earlier verdict, which must not outlive a gate that ends without one.

    Raises OutputError for a file that is none.
    """
    if not path.exists():
        return
    if not outcome.is_verdict(files.read(path)):
        raise OutputError(f"--{_JUNIT.name}={path} is no verdict of a gate: name another file")
    path.resolve().unlink()


def _progress(line: str) -> None:
    """Tell how far the gate is; where nobody can be told, its verdict counts all the same."""
    with contextlib.suppress(OSError):
        _tell(line)


def _tell(*lines: str) -> None:
    for line in () if _JSON.value else lines:
        print(line, flush=True)


def _configs(like: config.Config, first: int, count: int) -> list[config.Config]:
    """Return the settings of runs of a recipe with consecutive seeds."""
    return [
        dataclasses.replace(like, seed=seed, kernel=common.KERNEL.value)
        for seed in range(first, first + count)
    ]


def _check(known: calibration.Calibration, plan: Plan, runs: Sequence[config.Config]) -> None:
    """Refuse a calibration that does not fit the flags. Raises UsageError."""
    asked = recipe.chosen(_VARIANT.value, 0)
    for name in asked.differences(known.config):
        if name in recipe.given() - {"kernel", "seed"}:
            raise UsageError(
                f"{known.name} was calibrated with {name} {getattr(known.config, name)}, not "
                f"{getattr(asked, name)}: omit the flag, or calibrate anew by --calibrate"
            )
    if known.runs[0].device["kind"] == "CPU":
        known.check(library.arithmetic(library.choose(common.KERNEL.value)))
    memory.check(known.config, _WORKERS.value)
    if not _QUICK.value:
        known.check_seeds(run.seed for run in runs)
        from lstm_mnist.studies import sequential

        sequential.check(known.baseline, plan)


def _judged(
    known: calibration.Calibration,
    plan: Plan,
    runs: Sequence[config.Config],
    data_dir: str | None,
) -> outcome.Outcome:
    """Compare the first steps, then train runs until the gate is decided, reporting each."""
    device, dataset = _started(data_dir)
    from lstm_mnist.recurrence import layers
    from lstm_mnist.studies import golden

    kernel = layers.choose(common.KERNEL.value)
    known.check(calibration.on(library.arithmetic(kernel), layers.device()))
    _progress(f"{outcome.calibrated(known)}.")
    (first,) = _configs(known.config, known.config.seed, 1)
    found = outcome.Outcome(
        calibration=known, plan=plan, golden=golden.compare(first, dataset, known.golden)
    )
    _progress(f"First steps: {found.golden or 'equal to the last bit'}.")
    if _QUICK.value:
        return found
    with tempfile.TemporaryDirectory(prefix="lstm_mnist-gate-") as temporary:
        folders = {Path(temporary, f"seed{run.seed}"): run for run in runs}
        with contextlib.closing(_trained(folders, dataset, device, data_dir)) as finished:
            return outcome.until_decided(
                found, map(outcome.run_of, finished), lambda found: _progress(outcome.line(found))
            )


def _started(data_dir: str | None) -> "tuple[dict[str, Any], Dataset]":
    """Start TensorFlow, and return what it runs on, and the data."""
    device = runtime.start(common.DEVICE.value, library.choose(common.KERNEL.value))
    from lstm_mnist import data

    return device, data.load(data_dir, progress=common.progress())


def _trained(
    runs: Mapping[Path, config.Config],
    dataset: "Dataset",
    device: dict[str, Any],
    data_dir: str | None,
) -> Generator[records.Record, None, None]:
    """Train runs, in this process or side by side, and yield them in order."""
    if not runs:
        return
    if _WORKERS.value == 1:
        finished = fleet.train_here(runs, dataset, device)
    else:
        finished = fleet.train(
            runs, data_dir=data_dir, device=common.DEVICE.value, workers=_WORKERS.value
        )
    with contextlib.closing(finished):
        yield from map(records.read_folder, fleet.in_order(finished, runs))


def _notes(found: outcome.Outcome) -> Iterator[str]:
    """Yield further remarks on an outcome."""
    if not found.standings:
        yield outcome.QUICK
    versions = runtime.versions()
    for name, version in found.calibration.versions.items():
        if versions.get(name) != version:
            yield f"Calibrated with {name} {version}; here it is {versions.get(name)}."


def _append(path: Path, text: str) -> None:
    """Append text to a GitHub step's summary. Raises OutputError."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"{SUMMARY}={path} cannot be written: {error.strerror}") from error


def _calibrate(data_dir: str | None) -> None:
    """Train the runs of a calibration that are missing, and write it."""
    if not _RUNS.value or not _SAVE.value:
        raise UsageError("--calibrate needs --runs=N and --save=FILE")
    first = FIRST_CALIBRATED if _SEED.value is None else _SEED.value
    configs = _configs(recipe.chosen(_VARIANT.value, first), first, _RUNS.value)
    calibration.check_batches(configs[0])
    memory.check(configs[0], min(_WORKERS.value, len(configs)))
    folder = Path(_STUDY_DIR.value)
    runs = fleet.folders(folder, configs)
    with fleet.only_one(folder):
        missing = fleet.missing(runs)
        device, dataset = _started(data_dir)
        from lstm_mnist.studies import golden

        _check_finished(records.read(path for path in runs if path not in missing))
        with contextlib.closing(_trained(missing, dataset, device, data_dir)) as finished:
            for run in finished:
                _tell(f"{run.folder}: test {run.final.test.percent:.2f} %, {run.seconds:.0f} s")
        values = golden.compute(configs[0], dataset)
        try:
            made = calibration.made(_SAVE.value, records.read(runs), values)
        except ValueError as error:
            raise UsageError(f"--study_dir={folder}: {error}") from error
    calibration.write(Path(_SAVE.value), made)
    _tell(f"{outcome.calibrated(made)}.")


def _check_finished(runs: Sequence[records.Record]) -> None:
    """Raise UsageError for a run that was not made by this program, as it is and where it is.

    The golden values are: of two programs, they would not belong to the runs.
    """
    from lstm_mnist.recurrence import layers

    arithmetic = library.arithmetic(layers.choose(common.KERNEL.value))
    here = (
        runtime.git_state(),
        runtime.program_sha256(),
        runtime.versions(),
        arithmetic,
        layers.device(),
    )
    for run in runs:
        made = run.git, run.program_sha256, run.versions, run.arithmetic, run.device["kind"]
        if made != here:
            raise UsageError(
                f"--study_dir={_STUDY_DIR.value}: {run.folder} was made by another commit or state "
                "of this program, other versions, another arithmetic or device than are here: name "
                "another folder"
            )
