"""Finished runs as values: read from their folders, and kept together in one file.

They are evidence for the accuracy gate: what is not finite, complete, consistent and of this
dataset is refused.
"""

import contextlib
import csv
import dataclasses
import hashlib
import itertools
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lstm_mnist.config import TOTALS, Config
from lstm_mnist.results import Epoch, EpochDynamics, Run, Score
from lstm_mnist.runs import checkpoints, run_folder
from lstm_mnist.studies import evidence, reference
from lstm_mnist.system import files
from lstm_mnist.system.errors import DataError, UsageError

# The studies that are part of the package: a file for each label.
COMMITTED = Path(__file__).parents[1] / "results"
# An epoch in a study file: numbers of correct images, then mean losses in nats.
EPOCH_COLUMNS = (*TOTALS, "training_loss", *(f"{split}_loss" for split in TOTALS))
# Where logits are NaN, the first counts as the largest: all images are named 0, as these many are.
_ALL_NAMED_0: Mapping[str, Any] = {
    split: Score(zeros, TOTALS[split], math.nan)
    for split, zeros in (("train", 5_444), ("validation", 479), ("test", 980))
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record(Run):
    """A finished run, and what it was made from and with."""

    folder: str
    sha256: str  # of its result file
    seconds: float
    arithmetic: str  # see `library.arithmetic`
    versions: dict[str, str]
    device: dict[str, Any]
    data_sha256: dict[str, str]
    git: dict[str, Any] | None
    program_sha256: str | None = None  # see `runtime.program_sha256`; older runs have none
    # Why the run has diverged. The epochs it lacks have the scores of a network whose logits are
    # not numbers.
    diverged: str | None = None
    dynamics: tuple[EpochDynamics, ...] | None = None  # after each epoch, if recorded

    @property
    def best(self) -> Epoch:
        """Return the epoch with the most correct held-out images, or a diverged run's last."""
        return self.final if self.diverged else super().best

    @property
    def program(self) -> tuple[Any, ...]:
        """Return what tells the states of this program apart that made runs."""
        commit = None if self.git is None else (self.git["commit"], self.git["changed"])
        return commit, self.program_sha256

    @property
    def label(self) -> str:
        """Return the name of the group that this run is pooled in; see `label`."""
        return label(self.config.variant, self.config.network)

    @property
    def collapsed(self) -> bool:
        """Return whether the run ended far below its highest test accuracy."""
        return reference.collapsed(self.test_curve)


def label(variant: str, network: str) -> str:
    """Return the name of a group of runs: the variant, and the network unless it is the default."""
    return variant if network == Config().network else f"{variant}-{network}"


def read(paths: Iterable[Path], *, diverged: bool = False) -> list[Record]:
    """Read runs from run folders, from folders of run folders and from study files.

    Raises DataError for a path that is none of these or fails the checks, or for a run that has
    diverged unless those are wanted, and UsageError for a run that is given twice.
    """
    runs: list[Record] = []
    for path in paths:
        runs += _read_study(path) if path.is_file() else map(read_folder, folders(path))
    for run in runs:
        if run.diverged and not diverged:
            raise DataError(f"{run.folder} is not finished: {run.diverged}")
    seen: dict[str, Record] = {}
    for run in runs:
        if other := seen.get(run.sha256):
            raise UsageError(f"{other.folder} and {run.folder} are one run: give each run once")
        seen[run.sha256] = run
    return runs


def folders(path: Path) -> list[Path]:
    """Return the run folders that a path is or holds at any depth, unfinished ones too.

    Names that begin with a dot are left out. Raises DataError.
    """
    if any((path / name).exists() for name in run_folder.ENDS):
        return [path]
    names = run_folder.CONFIG, run_folder.HISTORY, *run_folder.ENDS
    inner, walked = set(), set()
    for place, below, contents in os.walk(path, onerror=_refused, followlinks=True):
        if (real := os.path.realpath(place)) in walked:  # a link may lead back
            below.clear()
            continue
        walked.add(real)
        below[:] = [name for name in below if not name.startswith(".")]  # which are walked next
        folder = Path(place)
        if folder.name == checkpoints.FOLDER and any(name.endswith(".npz") for name in contents):
            inner.add(folder.parent)
        elif not set(names).isdisjoint(contents):
            inner.add(folder)
    inner.discard(path)
    if not inner:
        raise DataError(f"{path} holds no finished run: there is no {run_folder.RESULT} in it")
    return sorted(inner)


def _refused(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise DataError(f"{error.filename} is unreadable: {error.strerror}") from error


def best(runs: Iterable[Record]) -> Record:
    """Return the run whose best epoch has the most correct held-out images, the first if tied."""
    return max(runs, key=lambda run: run.best.validation.correct)


def folder_of(run: Record, paths: Iterable[Path]) -> Path | None:
    """Return the folder that a run was read from, given the paths; None if it was a file."""
    for path in filter(Path.is_dir, paths):
        for folder in folders(path):
            for name in run_folder.ENDS:
                with contextlib.suppress(OSError):
                    if _digest(files.read(folder / name)) == run.sha256:
                        return folder
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_folder(folder: Path) -> Record:
    """Read a finished run's folder: its result, history and settings. Raises DataError.

    A run that has diverged is finished too; where that was in its first epoch, it has no history.
    """
    path = folder
    has_diverged = (folder / run_folder.DIVERGED).exists()
    try:
        if has_diverged:
            if (folder / run_folder.RESULT).exists():
                raise ValueError(f"{run_folder.RESULT} and {run_folder.DIVERGED} are both there")
            content = files.read(path := folder / run_folder.DIVERGED)
            result = evidence.diverged(content)
        else:
            content = files.read(path := folder / run_folder.RESULT)
            result = evidence.result(content)
        settings = evidence.settings(files.read(path := folder / run_folder.CONFIG))
        path = folder / run_folder.HISTORY
        rows = evidence.history(files.read(path)) if path.exists() or not has_diverged else []
        path = folder / run_folder.EPOCH_DYNAMICS
        dynamics = evidence.dynamics(files.read(path)) if path.exists() else None
        path = folder
        run = _record(
            {
                "folder": run_folder.printable_name(folder),
                "sha256": _digest(content),
                "seconds": result["seconds"] if has_diverged else result["seconds"]["total"],
                "diverged": result.get("diverged"),
                "dynamics": dynamics,
                **{key: result[key] for key in evidence.ORIGIN},
                "epochs": [_columns(row) for row in rows],
            }
        )
        _prove(run)
        if settings != result["config"]:
            raise ValueError(f"{run_folder.CONFIG} and {run_folder.RESULT} disagree")
        told = {} if has_diverged else {"final": run.final, "best_by_validation": run.best}
        for key, epoch in told.items():
            if run_folder.flat(result[key]) != rows[epoch.number - 1]:
                raise ValueError(f"{run_folder.HISTORY} and {run_folder.RESULT} disagree on {key}")
    except OSError as error:
        raise DataError(f"{path} is unreadable: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path} is not what a finished run leaves: {error}") from error
    return run


def _columns(row: Mapping[str, Any]) -> list[Any]:
    """Return the columns that a study file keeps of a row of a run's history."""
    losses = EPOCH_COLUMNS[len(TOTALS) :]
    return [*(row[f"{split}_correct"] for split in TOTALS), *(row[loss] for loss in losses)]


def _read_study(path: Path) -> list[Record]:
    """Read a study file. Raises DataError."""
    try:
        return runs_of(evidence.study(files.read(path)))
    except OSError as error:
        raise DataError(f"{path} is unreadable: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not a study file: {error}") from error


def runs_of(study: Mapping[str, Any]) -> list[Record]:
    """Return the runs of a parsed study file. Raises ValueError."""
    columns = tuple(study["epoch_columns"]), tuple(study["dynamics_columns"])
    if (*columns, study["totals"]) != (EPOCH_COLUMNS, evidence.DYNAMICS_COLUMNS, TOTALS):
        raise ValueError("other columns or totals")
    runs = [_record(run) for run in study["runs"]]
    if not runs:
        raise ValueError("it holds no runs")
    for run in runs:
        _prove(run)
    for one, other in itertools.combinations(runs, 2):
        if one.config == other.config:
            raise ValueError(f"{one.folder} and {other.folder} have the same settings and seed")
        # Runs that diverged in the first epoch have no results that could tell them apart.
        if one.sha256 == other.sha256 or (one.epochs == other.epochs and trained(one)):
            raise ValueError(f"{one.folder} and {other.folder} are one run, given twice")
    return runs


def _record(value: Mapping[str, Any]) -> Record:
    """Return a record from its form in study files; see `_as_dict`."""
    settings = Config.from_dict(value["config"])
    epochs = [_epoch(number, columns) for number, columns in enumerate(value["epochs"], 1)]
    if value["diverged"]:
        missing = range(len(epochs) + 1, settings.epochs + 1)
        epochs += [Epoch(number, math.nan, **_ALL_NAMED_0) for number in missing]
    dynamics = value["dynamics"] and tuple(EpochDynamics(*columns) for columns in value["dynamics"])
    known = {"config": settings, "epochs": tuple(epochs), "dynamics": dynamics}
    return Record(**{**value, **known})


def _epoch(number: int, columns: Sequence[Any]) -> Epoch:
    told = dict(zip(EPOCH_COLUMNS, columns, strict=True))
    train, validation, test = (
        Score(told[split], total, told[f"{split}_loss"]) for split, total in TOTALS.items()
    )
    return Epoch(number, told["training_loss"], train, validation, test)


def _as_dict(run: Record) -> dict[str, Any]:
    """Return a record's form in study files."""
    may = {name: getattr(run, name) for name in ("diverged", "dynamics", "program_sha256")}
    origin = {name: getattr(run, name) for name in evidence.ORIGIN if name not in ("config", *may)}
    return {
        "folder": run.folder,
        "sha256": run.sha256,
        "config": run.config.as_dict(),
        "seconds": run.seconds,
        **origin,
        **{key: value for key, value in may.items() if value is not None},
        "epochs": [
            (
                *(score.correct for score in epoch.scores.values()),
                epoch.training_loss,
                *(score.loss for score in epoch.scores.values()),
            )
            for epoch in trained(run)
        ],
    }


def trained(run: Record) -> tuple[Epoch, ...]:
    """Return the epochs in which a run was still finite."""
    return tuple(epoch for epoch in run.epochs if math.isfinite(epoch.training_loss))


def _prove(run: Record) -> None:
    """Check that a run is complete and of this dataset. Raises ValueError."""
    from lstm_mnist import data  # late, because it imports NumPy

    if not (run.folder.isprintable() and re.fullmatch("[0-9a-f]{64}", run.sha256)):
        raise ValueError("folder or sha256 is none that a run has")
    if run.program_sha256 is not None and not re.fullmatch("[0-9a-f]{64}", run.program_sha256):
        raise ValueError("program_sha256 is none that a run has")
    if run.data_sha256 != data.SPLIT_SHA256:
        raise ValueError(f"{run.folder}: data_sha256 is that of other data")
    if run.seconds < 0:
        raise ValueError(f"{run.folder}: seconds are negative")
    if run.diverged is not None and not run.diverged.strip():
        raise ValueError(f"{run.folder}: why it has diverged is not told")
    finite = trained(run)
    if len(run.epochs) != run.config.epochs or (run.diverged and len(finite) == run.config.epochs):
        raise ValueError(f"{run.folder}: {len(finite)} of {run.config.epochs} epochs")
    if run.diverged and evidence.diverged_in(run.diverged) != len(finite) + 1:
        raise ValueError(f"{run.folder}: {len(finite)} epochs, where it says {run.diverged!r:.60}")
    if run.dynamics is not None:
        numbers = [point.epoch for point in run.dynamics]
        if numbers != [epoch.number for epoch in finite]:
            raise ValueError(f"{run.folder}: dynamics are not of each epoch")
    for epoch in finite:
        where = f"{run.folder}: epoch {epoch.number}"
        for split, score in epoch.scores.items():
            evidence.check_count(where, split, score.correct)
        if min(epoch.training_loss, *(score.loss for score in epoch.scores.values())) < 0:
            raise ValueError(f"{where}: a loss is negative")


def write(path: Path, runs: Sequence[Record], **more: Any) -> None:
    """Write runs as one study file, and `more` before them. Raises OutputError."""
    study: dict[str, Any] = {**more, "epoch_columns": EPOCH_COLUMNS}
    if any(run.dynamics for run in runs):
        study["dynamics_columns"] = evidence.DYNAMICS_COLUMNS
    study |= {"totals": TOTALS, "runs": [_as_dict(run) for run in runs]}
    files.write_json(path, study)
