"""The folder of a run: every file in it is written whole or not at all."""

import contextlib
import csv
import dataclasses
import datetime
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_mnist import files
from lstm_mnist.errors import OutputError

if TYPE_CHECKING:
    import keras

    from lstm_mnist.training import Epoch, Score

CONFIG, HISTORY, RESULT = "config.json", "history.csv", "result.json"
DYNAMICS = "dynamics.csv"
FINAL_MODEL, BEST_MODEL = "final.keras", "best.keras"
REPORT = "report.html"


def default_folder(seed: int) -> Path:
    """Return a new run's folder: runs/<local time>-seed<seed>."""
    return Path("runs", f"{datetime.datetime.now():%Y%m%d-%H%M%S}-seed{seed}")


def check_folder(path: Path) -> None:
    """Check, without leaving a trace, that a run's folder can be created or is empty and writable.

    Raises OutputError.
    """
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"--output_dir={path}: {existing} is not a writable folder")
    if existing == path and any(path.iterdir()):
        raise OutputError(f"--output_dir={path} is not empty: name another folder")


def create_folder(path: Path) -> None:
    """Create a run's folder. Raises OutputError."""
    check_folder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--output_dir={path} cannot be made: {error.strerror}") from error


def write_json(path: Path, value: Any) -> None:
    """Write a value as an indented JSON file."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file. Raises OutputError."""
    with _replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_history(path: Path, epochs: Sequence["Epoch"]) -> None:
    """Write one CSV row per epoch."""
    _write_rows(path, [_flat(epoch_as_dict(epoch)) for epoch in epochs])


def write_table(path: Path, values: Sequence[Any]) -> None:
    """Write one CSV row per named tuple."""
    _write_rows(path, [value._asdict() for value in values])


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with _replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_model(path: Path, model: "keras.Model") -> None:
    """Save a model in Keras' own format."""
    with _replacing(path) as temporary:
        model.save(temporary)


def epoch_as_dict(epoch: "Epoch") -> dict[str, Any]:
    """Return an epoch's results as a JSON object."""
    return {
        "epoch": epoch.number,
        "training_loss": epoch.training_loss,
        "train": _score_as_dict(epoch.train),
        "validation": _score_as_dict(epoch.validation),
        "test": _score_as_dict(epoch.test),
        "training_seconds": round(epoch.training_seconds, 3),
        "evaluation_seconds": round(epoch.evaluation_seconds, 3),
    }


def _score_as_dict(score: "Score") -> dict[str, Any]:
    return dataclasses.asdict(score) | {"percent": score.percent}


def _flat(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping of mappings as one, joining the keys by underscores."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= {f"{key}_{inner}": innermost for inner, innermost in item.items()}
        else:
            flat[key] = item
    return flat


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Replace a file as a whole. Raises OutputError where the file system refuses."""
    try:
        with files.replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
