"""Strict parsing of finished runs' files, the evidence for the accuracy gate.

Every function raises ValueError for what is not finite, complete and consistent.
"""

import csv
import io
import itertools
import math
import re
from collections.abc import Mapping
from typing import Any

from lstm_mnist import config
from lstm_mnist.config import TOTALS, Config
from lstm_mnist.results import EpochDynamics
from lstm_mnist.runs import run_folder
from lstm_mnist.system import files
from lstm_mnist.system.errors import UsageError


def _since(generation: int) -> tuple[str, ...]:
    known = config.SETTINGS.items()
    return tuple(name for name, setting in known if setting.generation == generation)


# The shapes of files, in the notation of `_conform`.
_SCORE = {"correct": int, "total": int, "loss": float, "percent": float}
_EPOCH = {
    "epoch": int,
    "training_loss": float,
    **dict.fromkeys(TOTALS, _SCORE),
    "training_seconds": float,
    "evaluation_seconds": float,
}
_COLUMNS: Mapping[str, type[int] | type[float]] = run_folder.flat(_EPOCH)
# The arithmetic of runs from before it was recorded.
EARLIER = "earlier"
_ARITHMETIC = re.compile(
    rf"{EARLIER}|keras-[1-9]\d*|compiled-[1-9]\d*(?:-unfused)?(?:-(?!unfused)\w+)?", re.ASCII
)
# What training raises, and keeps, where a run has diverged.
_DIVERGED_IN = re.compile("has diverged in epoch ([1-9][0-9]*): ")
ORIGIN = {
    "config": object,  # see `_settings`
    "arithmetic": str,
    "versions": {str: str},
    "device": {"kind": str, "name": str, "cores": int, str: object},
    "data_sha256": dict.fromkeys(TOTALS, str),
    "git": ({"commit": str, "changed": bool},),
    "program_sha256": (str,),
}
_RESULT = {
    **ORIGIN,
    "final": _EPOCH,
    "best_by_validation": _EPOCH,
    "seconds": {"total": float, "training": float, "evaluation": float},
}
_DIVERGED = {**ORIGIN, "diverged": str, "seconds": float}
# What is recorded at the end of an epoch.
DYNAMICS_COLUMNS = EpochDynamics._fields
_DYNAMICS: Mapping[str, Any] = {**dict.fromkeys(DYNAMICS_COLUMNS, (float,)), "epoch": int}
# What a run in a study file may have, and what it has besides its origin.
_MAY = {"diverged": (str,), "dynamics": ([[*_DYNAMICS.values()]],)}
_RUN = {
    **ORIGIN,
    **_MAY,
    "folder": str,
    "sha256": str,
    "seconds": float,
    "epochs": [[int, int, int, float, float, float, float]],
}
_STUDY = {
    "epoch_columns": [str],
    "dynamics_columns": [str],
    "totals": dict.fromkeys(TOTALS, int),
    "runs": [_RUN],
}
_GOLDEN = {"losses": [float], "sha256": str}
_SETTINGS = {key: type(value) for key, value in Config().as_dict().items()}
# What files from before each generation of settings lack, the newest generation first.
_LATER = (_since(2), ("network", *_since(1)))
# The arithmetics that each kernel can have. "fast" was an earlier kernel, compiled by XLA.
_KERNELS = {
    "auto": config.KERNELS,
    "compiled": ("compiled",),
    "keras": ("keras", EARLIER),
    "fast": (EARLIER,),
}


def percent(split: str, correct: int) -> float:
    """Return the accuracy on a split in percent."""
    return 100 * correct / TOTALS[split]


def check_count(where: str, split: str, correct: int) -> None:
    """Check a number of correct images on a split."""
    if not 0 <= correct <= TOTALS[split]:
        raise ValueError(f"{where}: {correct} of {TOTALS[split]} {split} images")


def result(content: bytes) -> dict[str, Any]:
    """Parse a run's result file."""
    parsed: dict[str, Any] = _with_later(files.parse_json(content))
    _conform(parsed, _RESULT, "it")
    if min(parsed["seconds"].values()) < 0:
        raise ValueError("seconds are negative")
    return _with_settings(parsed)


def diverged(content: bytes) -> dict[str, Any]:
    """Parse the file that a run leaves in place of a result if it has diverged."""
    parsed: dict[str, Any] = _with_later(files.parse_json(content))
    _conform(parsed, _DIVERGED, "it")
    return _with_settings(parsed)


def diverged_in(reason: str) -> int | None:
    """Return the epoch in which a run has diverged, by the reason that is kept of it."""
    told = _DIVERGED_IN.search(reason)
    return int(told[1]) if told else None


def study(content: bytes) -> dict[str, Any]:
    """Parse a study file."""
    return _study(files.parse_json(content))


def calibration(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parse a gate's calibration: its golden values, and the study that makes up the rest."""
    parsed: Any = files.parse_json(content)
    golden: Any = parsed.pop("golden", None) if isinstance(parsed, dict) else None
    _conform({"golden": golden}, {"golden": _GOLDEN}, "it")
    return golden, _study(parsed)


def _study(parsed: Any) -> dict[str, Any]:
    if isinstance(parsed, dict):
        parsed = {"dynamics_columns": [*DYNAMICS_COLUMNS], **parsed}
    _conform(parsed, {**_STUDY, "runs": [object]}, "it")
    runs = [
        {**dict.fromkeys(_MAY), **run} if isinstance(run, dict) else run
        for run in map(_with_later, parsed["runs"])
    ]
    _conform(runs, [_RUN], "runs")
    return {**parsed, "runs": [_with_settings(run) for run in runs]}


def recorded_runs(content: bytes, runs: int, epochs: int) -> list[list[list[float]]]:
    """Parse the original's recorded runs: by seed from 0, and by epoch, train and test percent."""
    parsed: Any = files.parse_json(content)
    shape = {"runs": [{"seed": int, "curve": [[float, float]]}], str: object}
    _conform(parsed, shape, "it")
    by_seed = {run["seed"]: run["curve"] for run in parsed["runs"]}
    if sorted(by_seed) != [*range(runs)] or len(parsed["runs"]) != runs:
        raise ValueError(f"its seeds are not each of 0 to {runs - 1} once")
    curves = [by_seed[seed] for seed in range(runs)]
    for seed, curve in enumerate(curves):
        if len(curve) != epochs:
            raise ValueError(f"seed {seed}: {len(curve)} of {epochs} epochs")
        if curve in curves[:seed]:
            raise ValueError(f"seed {seed}: it came to the same as an earlier one in every epoch")
        for epoch, accuracies in enumerate(curve, 1):
            for split, accuracy in zip(("train", "test"), accuracies, strict=True):
                images = accuracy * TOTALS[split] / 100
                # The file has four decimals: enough to tell the whole number of images.
                if not (0 <= images <= TOTALS[split] and abs(images - round(images)) < 0.03):
                    raise ValueError(f"seed {seed}, epoch {epoch}: no {split} accuracy: {accuracy}")
    return curves


def settings(content: bytes) -> dict[str, Any]:
    """Parse a run's settings file."""
    return _settings(files.parse_json(content))


def history(content: bytes) -> list[dict[str, Any]]:
    """Parse a run's history: a flat row per epoch, with the fields that the result file has."""
    rows = _rows(content, _COLUMNS)
    for number, row in enumerate(rows, 1):
        if row["epoch"] != number:
            raise ValueError(f"row {number} is of epoch {row['epoch']}")
        if min(row["training_seconds"], row["evaluation_seconds"]) < 0:
            raise ValueError(f"epoch {number}: seconds are negative")
        for split, total in TOTALS.items():
            correct = row[f"{split}_correct"]
            check_count(f"epoch {number}", split, correct)
            if (row[f"{split}_total"], row[f"{split}_percent"]) != (total, percent(split, correct)):
                raise ValueError(f"epoch {number}: total or percent of {split} are not its count's")
    return rows


def dynamics(content: bytes) -> list[list[Any]]:
    """Parse how a run's network behaved after each epoch, in the order of the columns."""
    return [[*row.values()] for row in _rows(content, _DYNAMICS)]


def _rows(content: bytes, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parse a CSV table with exactly these columns; values that may be null may be empty."""
    header, *lines = [*csv.reader(io.StringIO(content.decode(), newline=""), strict=True)] or [[]]
    if header != [*columns] or any(len(line) != len(header) for line in lines):
        raise ValueError("other columns")

    def value(text: str, kind: Any) -> Any:
        if isinstance(kind, tuple):
            return value(text, kind[0]) if text else None
        return _number(text, kind)

    return [
        {name: value(text, columns[name]) for name, text in zip(header, line, strict=True)}
        for line in lines
    ]


def _number(text: str, kind: type[int] | type[float]) -> Any:
    """Parse a finite number in the form in which runs write it."""
    number = kind(text)
    if str(number) != text or (kind is float and not math.isfinite(number)):
        raise ValueError(f"{text!r:.40} is no number as a run writes it")
    return number


def _with_later(run: Any) -> Any:
    """Return a run with what older files do not tell: its arithmetic, and its program's digest."""
    later = {"arithmetic": EARLIER, "program_sha256": None}
    return {**later, **run} if isinstance(run, dict) else run


def _with_settings(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run with all its settings, after checking that its arithmetic fits its kernel."""
    settings, arithmetic = _settings(run["config"]), run["arithmetic"]
    known = _ARITHMETIC.fullmatch(arithmetic)
    if not known or arithmetic.partition("-")[0] not in _KERNELS[settings["kernel"]]:
        raise ValueError(f"arithmetic {arithmetic!r:.40} is none of kernel {settings['kernel']}")
    if arithmetic.startswith("compiled") and run["device"]["kind"] != "CPU":
        raise ValueError(f"arithmetic {arithmetic} is that of CPUs")
    return {**run, "config": settings}


def _settings(value: Any) -> dict[str, Any]:
    """Return a run's settings, checked and completed by those that old files lack."""
    defaults = Config().as_dict()
    for later in _LATER:
        if isinstance(value, dict) and value.keys().isdisjoint(later):
            value = {**{name: defaults[name] for name in later}, **value}
    _conform(value, _SETTINGS, "config")
    if value["kernel"] not in _KERNELS:
        raise ValueError(f"config: kernel is none of {', '.join(_KERNELS)}")
    try:
        known = Config.from_dict(value).as_dict()
    except UsageError as error:
        raise ValueError(f"config: {error}") from error
    if value["variant"] == "custom":  # it may have been given a name since
        value = {**value, "variant": known["variant"]}
    if known != value:
        raise ValueError(
            f"config: these are not the settings of variant {value['variant']} and network "
            f"{value['network']}, but of {known['variant']} and {known['network']}"
        )
    return known


def _conform(value: Any, shape: Any, name: str) -> None:
    """Check that a JSON value has a shape.

    A mapping has exactly the shape's keys, and any others if the shape has `str`. A list whose
    shape has one item holds any number of these, otherwise exactly the shape's items. A tuple of
    one shape allows that or null. Everything else is of exactly the shape's type: true is not 1,
    and 1 is not 1.0.
    """
    kind = shape if isinstance(shape, type) else type(shape)
    if isinstance(shape, tuple):
        if value is not None:
            _conform(value, shape[0], name)
    elif kind is not object and type(value) is not kind:
        raise ValueError(f"{name} is {value!r:.40}, not {kind.__name__}")
    elif isinstance(shape, dict):
        if missing := shape.keys() - value.keys() - {str}:
            raise ValueError(f"{name} lacks {min(missing)}")
        if str not in shape and (more := value.keys() - shape.keys()):
            raise ValueError(f"{name} has {min(more)!r:.40}, which is not known")
        for key, item in value.items():
            _conform(item, shape.get(key, shape.get(str)), f"{key!r:.40}")
    elif isinstance(shape, list):
        if len(value) != len(shape) > 1:
            raise ValueError(f"{name} has {len(value)} items, not {len(shape)}")
        for item, inner in zip(value, itertools.cycle(shape), strict=False):
            _conform(item, inner, f"an item of {name}")
