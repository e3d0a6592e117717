"""The folder of a run: every file in it is written whole or not at all."""

import contextlib
import csv
import dataclasses
import datetime
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_mnist import files
from lstm_mnist.config import Config
from lstm_mnist.errors import CheckpointError, OutputError

if TYPE_CHECKING:
    import keras
    import numpy as np
    from numpy.typing import NDArray

    from lstm_mnist.results import Epoch, Score

CONFIG, HISTORY, RESULT = "config.json", "history.csv", "result.json"
DYNAMICS = "dynamics.csv"
TENSORBOARD = "tensorboard"
FINAL_MODEL, BEST_MODEL = "final.keras", "best.keras"
REPORT = "report.html"


def default_folder(seed: int) -> Path:
    """Return a new run's folder: runs/<local time>-seed<seed>."""
    return Path("runs", f"{datetime.datetime.now():%Y%m%d-%H%M%S}-seed{seed}")


@contextlib.contextmanager
def only_one(lock: Path, place: str) -> Iterator[None]:
    """Hold a lock, which dies with its process, against other processes.

    Raises OutputError, which calls what is locked `place`, where one holds it or where the file
    system refuses.
    """
    import filelock

    def sign(descriptor: int) -> None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}".encode(), 0)

    try:
        held = filelock.FileLock(lock, timeout=0, on_acquired=sign).acquire()
    except filelock.Timeout as error:
        raise OutputError(f"{place} is in use by {lock.read_text()}") from error
    except OSError as error:
        raise OutputError(f"{place} cannot be written: {error.strerror}") from error
    with held:
        yield


def _nothing(path: Path) -> bool:
    return False


def check_folder(path: Path, flag: str, *, left_over: Callable[[Path], bool] = _nothing) -> None:
    """Check, without leaving a trace, that a folder can be created or is empty and writable.

    What `left_over` is true of does not count. Raises OutputError, which names the flag.
    """
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"--{flag}={path}: {existing} is not a writable folder")
    if existing == path and not all(map(left_over, path.iterdir())):
        raise OutputError(f"--{flag}={path} is not empty: name another folder")


def create_folder(path: Path, flag: str) -> None:
    """Create a folder. Raises OutputError, which names the flag."""
    check_folder(path, flag)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--{flag}={path} cannot be made: {error.strerror}") from error


def check_file(path: Path) -> None:
    """Check, without leaving a trace, that a file can be written. Raises OutputError."""
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path} cannot be written: {path.parent} is not a writable folder")
    if path.is_dir():
        raise OutputError(f"{path} cannot be written: it is a folder")


def remove_results(folder: Path) -> None:
    """Remove what a run wrote into its folder, but for its settings and checkpoints."""
    for name in (RESULT, REPORT, FINAL_MODEL, BEST_MODEL, HISTORY, DYNAMICS):
        (folder / name).unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as an indented JSON file."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_config(folder: Path) -> Config:
    """Read the settings of a run's folder. Raises CheckpointError."""
    path = folder / CONFIG
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        names = {field.name for field in dataclasses.fields(Config)}
        config = Config(**{name: value for name, value in settings.items() if name in names})
        if config.as_dict() != settings:
            raise ValueError("other settings are expected")
    except OSError as error:
        raise CheckpointError(f"{path} is unreadable: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} does not hold a run's settings: {error}") from error
    return config


def write_history(path: Path, epochs: Sequence["Epoch"]) -> None:
    """Write one CSV row per epoch."""
    _write_rows(path, [flat(epoch_as_dict(epoch)) for epoch in epochs])


def write_table(path: Path, values: Sequence[Any]) -> None:
    """Write one CSV row per named tuple."""
    _write_rows(path, [value._asdict() for value in values])


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_image(path: Path, image: "NDArray[np.float32]") -> None:
    """Write an image [H, W] in [0, 1] as a picture of 8-bit grey levels."""
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray((255 * image).round().astype("uint8")).save(temporary)


def write_model(path: Path, model: "keras.Model") -> None:
    """Save a model in Keras' own format."""
    with replacing(path) as temporary:
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


def flat(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping of mappings as one, joining the keys by underscores."""
    joined: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            joined |= {f"{key}_{inner}": innermost for inner, innermost in item.items()}
        else:
            joined[key] = item
    return joined


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file as a whole. Raises OutputError where the file system refuses."""
    try:
        with files.replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
