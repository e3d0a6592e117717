"""The flag that names the network which predict, serve and export take."""

from pathlib import Path
from typing import TYPE_CHECKING

from lstm_mnist.commands import paths
from lstm_mnist.runs import run_folder
from lstm_mnist.system.errors import UsageError

if TYPE_CHECKING:
    import keras

_MODEL = paths.define(
    "model",
    None,
    "A .keras file, or the folder of a run, whose best.keras is taken. By default the network that "
    "is part of the package.",
)


def path() -> Path | None:
    """Return the file that --model names, or None without the flag. Raises UsageError."""
    if _MODEL.value is None:
        return None
    named = Path(_MODEL.value)
    file = named / run_folder.BEST_MODEL if named.is_dir() else named
    if not file.is_file():
        raise UsageError(f"--model={named}: there is no file {file}")
    return file


def load() -> "keras.Model":
    """Load the network. Raises UsageError and DataError."""
    file = path()
    from lstm_mnist.runs import model_files

    return model_files.load(file or model_files.SHIPPED)
