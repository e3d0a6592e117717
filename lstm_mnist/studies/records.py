"""Finished runs as values: read from their folders, kept together in one file, pooled.

What is read is evidence for the accuracy gate. What is not finite, complete, consistent and of this
dataset is refused.
"""

import contextlib
import csv
import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lstm_mnist.config import TOTALS, Config
from lstm_mnist.runs import run_folder
from lstm_mnist.studies import evidence, reference
from lstm_mnist.system import files
from lstm_mnist.system.errors import DataError, UsageError

# The studies that are part of the package: a file for each label.
COMMITTED = Path(__file__).parents[1] / "results"


class Epoch(NamedTuple):
    """An epoch's results: numbers of correct images, and losses in nats."""

    train: int
    validation: int
    test: int
    training_loss: float  # mean over the batches, each before its update
    train_loss: float
    validation_loss: float
    test_loss: float

    def percent(self, split: str) -> float:
        """Return the accuracy on a split in percent."""
        return evidence.percent(split, getattr(self, split))


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: str
    sha256: str  # of its result file
    config: dict[str, Any]
    seconds: float
    arithmetic: str  # see `library.arithmetic`
    versions: dict[str, str]
    device: dict[str, Any]
    data_sha256: dict[str, str]
    git: dict[str, Any] | None
    epochs: tuple[Epoch, ...]

    @property
    def label(self) -> str:
        """Return the name of what this run is pooled with; see `label`."""
        return label(self.config)

    @property
    def final(self) -> Epoch:
        """Return the last epoch."""
        return self.epochs[-1]

    @property
    def best(self) -> Epoch:
        """Return the epoch with most correct held-out images, the earliest of equals."""
        return max(self.epochs, key=lambda epoch: epoch.validation)

    @property
    def test_curve(self) -> list[float]:
        """Return the test accuracy after each epoch, in percent."""
        return [epoch.percent("test") for epoch in self.epochs]

    @property
    def collapsed(self) -> bool:
        """Return whether the run ended far below its highest test accuracy."""
        return reference.collapsed(self.test_curve)


def label(settings: Mapping[str, Any]) -> str:
    """Return what a run's settings are called: the variant, and the network if it is another."""
    variant, network = settings["variant"], settings["network"]
    return variant if network == Config().network else f"{variant}-{network}"


def read(paths: Iterable[Path]) -> list[Run]:
    """Read runs from run folders, from folders of run folders and from study files.

    Raises DataError for a path that is none of these, or holds what is no evidence, and UsageError
    for a run that is there twice.
    """
    runs: list[Run] = []
    for path in paths:
        runs += _read_study(path) if path.is_file() else map(read_folder, folders(path))
    seen: dict[str, Run] = {}
    for run in runs:
        if other := seen.get(run.sha256):
            raise UsageError(f"{other.folder} and {run.folder} are one run: give each run once")
        seen[run.sha256] = run
    return runs


def folders(path: Path) -> list[Path]:
    """Return the run folders that a path is or holds, unfinished ones too. Raises DataError."""
    if (path / run_folder.RESULT).exists():
        return [path]
    names = run_folder.CONFIG, run_folder.HISTORY, run_folder.RESULT
    inner = {found.parent for name in names for found in path.glob(f"[!.]*/{name}")}
    if not inner:
        raise DataError(f"{path} holds no finished run: there is no {run_folder.RESULT} in it")
    return sorted(inner)


def best(runs: Iterable[Run]) -> Run:
    """Return the run whose best epoch has most correct held-out images, the first of equals."""
    return max(runs, key=lambda run: run.best.validation)


def folder_of(run: Run, paths: Iterable[Path]) -> Path | None:
    """Return the folder that a run was read from, if it was one, given what `read` was given."""
    for path in paths:
        for folder in (path, path / run.folder):
            with contextlib.suppress(OSError):
                if _digest((folder / run_folder.RESULT).read_bytes()) == run.sha256:
                    return folder
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_folder(folder: Path) -> Run:
    """Read a finished run's folder: its result, history and settings. Raises DataError."""
    path = folder
    try:
        content = (path := folder / run_folder.RESULT).read_bytes()
        result = evidence.result(content)
        settings = evidence.settings((path := folder / run_folder.CONFIG).read_bytes())
        rows = evidence.history((path := folder / run_folder.HISTORY).read_bytes())
        path = folder
        run = Run(
            folder=folder.resolve().name,
            sha256=_digest(content),
            seconds=result["seconds"]["total"],
            epochs=tuple(map(_epoch, rows)),
            **{key: result[key] for key in evidence.ORIGIN},
        )
        _prove(run)
        if settings != run.config:
            raise ValueError(f"{run_folder.CONFIG} and {run_folder.RESULT} disagree")
        best = rows[run.epochs.index(run.best)]
        for key, row in (("final", rows[-1]), ("best_by_validation", best)):
            if run_folder.flat(result[key]) != row:
                raise ValueError(f"{run_folder.HISTORY} and {run_folder.RESULT} disagree on {key}")
    except OSError as error:
        raise DataError(f"{path} is unreadable: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path} is not what a finished run leaves: {error}") from error
    return run


def _epoch(row: Mapping[str, Any]) -> Epoch:
    """Convert a row of a run's history."""
    losses = Epoch._fields[len(TOTALS) :]
    return Epoch(*(row[f"{split}_correct"] for split in TOTALS), *(row[loss] for loss in losses))


def _read_study(path: Path) -> list[Run]:
    """Read a study file. Raises DataError."""
    try:
        study = evidence.study(path.read_bytes())
        if (tuple(study["epoch_columns"]), study["totals"]) != (Epoch._fields, TOTALS):
            raise ValueError("other columns or totals")
        runs = [
            Run(**{**run, "epochs": tuple(Epoch(*epoch) for epoch in run["epochs"])})
            for run in study["runs"]
        ]
        if not runs:
            raise ValueError("it holds no runs")
        for run in runs:
            _prove(run)
        for one, other in itertools.combinations(runs, 2):
            if one.config == other.config:
                raise ValueError(f"{one.folder} and {other.folder} have the same settings and seed")
    except OSError as error:
        raise DataError(f"{path} is unreadable: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not a study file: {error}") from error
    return runs


def _prove(run: Run) -> None:
    """Check that a run is complete and of this dataset. Raises ValueError."""
    from lstm_mnist import data  # late, because it imports NumPy

    if not (run.folder.isprintable() and re.fullmatch("[0-9a-f]{64}", run.sha256)):
        raise ValueError("folder or sha256 is none that a run has")
    if run.data_sha256 != data.SPLIT_SHA256:
        raise ValueError(f"{run.folder}: data_sha256 is that of other data")
    if run.seconds < 0:
        raise ValueError(f"{run.folder}: seconds are negative")
    if len(run.epochs) != run.config["epochs"]:
        raise ValueError(f"{run.folder}: {len(run.epochs)} of {run.config['epochs']} epochs")
    for number, epoch in enumerate(run.epochs, 1):
        for split, total in TOTALS.items():
            if not 0 <= (correct := getattr(epoch, split)) <= total:
                raise ValueError(
                    f"{run.folder}: epoch {number}: {correct} of {total} {split} images"
                )
        if min(epoch[len(TOTALS) :]) < 0:
            raise ValueError(f"{run.folder}: epoch {number}: a loss is negative")


def write(path: Path, runs: Sequence[Run]) -> None:
    """Write runs as one study file, a line for each. Raises OutputError."""
    head = json.dumps({"epoch_columns": Epoch._fields, "totals": TOTALS}).removesuffix("}")
    lines = ",\n".join(json.dumps(dataclasses.asdict(run)) for run in runs)
    files.write_text(path, f'{head}, "runs": [\n{lines}\n]}}\n')


def pooled(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Group runs by label, in order of seed.

    Raises UsageError where two runs of a label differ in more than the seed, or share it: their
    statistics would mean nothing.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.label, []).append(run)
    for name, group in groups.items():
        group.sort(key=lambda run: run.config["seed"])
        first = group[0]
        for other in group[1:]:
            if differences := sorted(_differences(first, other)):
                raise UsageError(
                    f"{first.folder} and {other.folder} are both called {name} but differ in "
                    f"{', '.join(differences)}: compare them apart"
                )
        seeds = [run.config["seed"] for run in group]
        if repeated := {seed for seed in seeds if seeds.count(seed) > 1}:
            raise UsageError(f"{name}: seed {min(repeated)} is there twice: give each run once")
    return groups


def committed(like: Run) -> list[Run]:
    """Return the runs of the package's studies with a run's settings, data and arithmetic."""
    path = COMMITTED / f"{like.label}.json"
    runs = _read_study(path) if path.exists() else []
    return [run for run in runs if not [*_differences(run, like)]]


def _differences(one: Run, other: Run) -> Iterable[str]:
    if one.arithmetic != other.arithmetic:
        yield "arithmetic"
    for key in one.config | other.config:
        # What a kernel comes to is the arithmetic.
        if key not in ("seed", "kernel") and one.config.get(key) != other.config.get(key):
            yield key
    if one.data_sha256 != other.data_sha256:
        yield "data"
