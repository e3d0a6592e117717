"""Finished runs as values: read from their folders, kept together in one file, pooled."""

import contextlib
import csv
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lstm_mnist import artifacts, comparison
from lstm_mnist.config import Config
from lstm_mnist.errors import DataError, UsageError

# The studies that are part of the package: a file for each label.
COMMITTED = Path(__file__).parent / "results"
TOTALS = {"train": 55_000, "validation": 5_000, "test": 10_000}


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
        correct: int = getattr(self, split)
        return 100 * correct / TOTALS[split]


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: str
    sha256: str  # of its result file
    config: dict[str, Any]
    seconds: float
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
        return comparison.collapsed(self.test_curve)


def label(settings: Mapping[str, Any]) -> str:
    """Return what a run's settings are called: the variant, and the network if it is another."""
    variant, network = settings["variant"], settings["network"]
    return variant if network == Config().network else f"{variant}-{network}"


def read(paths: Iterable[Path]) -> list[Run]:
    """Read runs from run folders, from folders of run folders and from study files.

    Raises DataError for a path that is none of these, or is incomplete.
    """
    runs: list[Run] = []
    for path in paths:
        if path.is_file():
            runs += _read_study(path)
        elif (path / artifacts.RESULT).exists():
            runs.append(read_folder(path))
        elif inner := sorted(result.parent for result in path.glob(f"[!.]*/{artifacts.RESULT}")):
            runs += map(read_folder, inner)
        else:
            raise DataError(f"{path} holds no finished run: there is no {artifacts.RESULT} in it")
    return runs


def best(runs: Iterable[Run]) -> Run:
    """Return the run whose best epoch has most correct held-out images, the first of equals."""
    return max(runs, key=lambda run: run.best.validation)


def folder_of(run: Run, paths: Iterable[Path]) -> Path | None:
    """Return the folder that a run was read from, if it was one, given what `read` was given."""
    for path in paths:
        for folder in (path, path / run.folder):
            with contextlib.suppress(OSError):
                if _digest((folder / artifacts.RESULT).read_bytes()) == run.sha256:
                    return folder
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_folder(folder: Path) -> Run:
    """Read a finished run's folder. Raises DataError."""
    try:
        result_bytes = (folder / artifacts.RESULT).read_bytes()
        result = json.loads(result_bytes)
        with (folder / artifacts.HISTORY).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        run = Run(
            folder=folder.name,
            sha256=_digest(result_bytes),
            seconds=result["seconds"]["total"],
            epochs=tuple(map(_epoch, rows)),
            config=_whole(result["config"]),
            **{key: result[key] for key in ("versions", "device", "data_sha256", "git")},
        )
        recorded = result["final"]["test"]["correct"], result["best_by_validation"]["epoch"]
        if recorded != (run.final.test, run.epochs.index(run.best) + 1):
            raise ValueError(f"{artifacts.HISTORY} and {artifacts.RESULT} disagree")
    except OSError as error:
        raise DataError(f"{error.filename} is unreadable: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, IndexError, csv.Error) as error:
        raise DataError(f"{folder} is not a run's folder: {error}") from error
    return run


def _whole(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Add the settings that did not exist yet when a run was made, which had today's defaults."""
    return {**Config().as_dict(), **settings}


def _epoch(row: dict[str, str]) -> Epoch:
    """Convert a row of a run's history."""
    return Epoch(
        int(row["train_correct"]),
        int(row["validation_correct"]),
        int(row["test_correct"]),
        float(row["training_loss"]),
        float(row["train_loss"]),
        float(row["validation_loss"]),
        float(row["test_loss"]),
    )


def write(path: Path, runs: Sequence[Run]) -> None:
    """Write runs as one study file, a line for each. Raises OutputError."""
    head = json.dumps({"epoch_columns": Epoch._fields, "totals": TOTALS}).removesuffix("}")
    lines = ",\n".join(json.dumps(dataclasses.asdict(run)) for run in runs)
    artifacts.write_text(path, f'{head}, "runs": [\n{lines}\n]}}\n')


def _read_study(path: Path) -> list[Run]:
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
        if (tuple(study["epoch_columns"]), study["totals"]) != (Epoch._fields, TOTALS):
            raise ValueError("other columns")
        return [
            Run(
                **{
                    **run,
                    "config": _whole(run["config"]),
                    "epochs": tuple(Epoch(*epoch) for epoch in run["epochs"]),
                }
            )
            for run in study["runs"]
        ]
    except OSError as error:
        raise DataError(f"{path} is unreadable: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a study file: {error}") from error


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
    """Return the runs of the package's studies with a run's settings and data; maybe none."""
    path = COMMITTED / f"{like.label}.json"
    runs = _read_study(path) if path.exists() else []
    return [run for run in runs if not [*_differences(run, like)]]


def _differences(one: Run, other: Run) -> Iterable[str]:
    for key in one.config | other.config:
        if key != "seed" and one.config.get(key) != other.config.get(key):
            yield key
    if one.data_sha256 != other.data_sha256:
        yield "data"
