"""The folder of a run: every file in it is written whole or not at all."""

import csv
import dataclasses
import datetime
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_mnist.config import Config
from lstm_mnist.system import files
from lstm_mnist.system.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from lstm_mnist.results import Epoch, Score

CONFIG, HISTORY, RESULT = "config.json", "history.csv", "result.json"
DYNAMICS, EPOCH_DYNAMICS = "dynamics.csv", "epoch_dynamics.csv"
DIVERGED = "diverged.json"  # in place of a result, if a loss or a weight was not finite
ENDS = (RESULT, DIVERGED)  # one of which a finished run has
TENSORBOARD = "tensorboard"
FINAL_MODEL, BEST_MODEL = "final.keras", "best.keras"
REPORT = "report.html"
# What a run's accuracies and networks can be read from.
EVIDENCE = (CONFIG, HISTORY, DYNAMICS, EPOCH_DYNAMICS, RESULT, DIVERGED, BEST_MODEL, FINAL_MODEL)
LANGUAGES = ("en", "zh")


def default_folder(seed: int) -> Path:
    """Return a new run's folder: runs/<local time>-seed<seed>."""
    return Path("runs", f"{datetime.datetime.now():%Y%m%d-%H%M%S}-seed{seed}")


def printable_name(folder: Path) -> str:
    """Return a folder's name; what cannot be printed, an ideographic space too, is escaped."""
    name = folder.resolve().name
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in name)


def report_in(language: str, path: Path) -> Path:
    """Return the path of a report in a language, given the path of the English one."""
    return path if language == "en" else path.with_name(f"{path.stem}.{language}{path.suffix}")


def remove_results(folder: Path) -> None:
    """Remove what a run wrote into its folder, but for its settings and checkpoints."""
    reports = (report_in(language, folder / REPORT) for language in LANGUAGES)
    for path in (*reports, *(folder / name for name in EVIDENCE if name != CONFIG)):
        path.unlink(missing_ok=True)


def read_config(folder: Path) -> Config:
    """Read the settings of a run's folder. Raises CheckpointError."""
    path = folder / CONFIG
    try:
        settings = files.parse_json(files.read(path))
        config = Config.from_dict(settings)
        if config.as_dict() != settings:
            raise ValueError("other settings are expected")
    except OSError as error:
        raise CheckpointError(f"{path} is unreadable: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError, UsageError) as error:
        raise CheckpointError(f"{path} does not hold a run's settings: {error}") from error
    return config


def write_history(path: Path, epochs: Sequence["Epoch"]) -> None:
    """Write one CSV row per epoch."""
    _write_rows(path, [flat(epoch_as_dict(epoch)) for epoch in epochs])


def write_table(path: Path, values: Sequence[Any]) -> None:
    """Write one CSV row per named tuple."""
    _write_rows(path, [value._asdict() for value in values])


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    files.write_bytes(path, text.getvalue().encode())


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
    """Return a mapping of mappings as one, joining the keys with underscores."""
    joined: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            joined |= {f"{key}_{inner}": innermost for inner, innermost in item.items()}
        else:
            joined[key] = item
    return joined
