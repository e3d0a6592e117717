"""Flags that several commands share."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from lstm_mnist.commands import paths, settings
from lstm_mnist.system import files, runtime
from lstm_mnist.system.errors import UsageError

HELP = flags.DEFINE_bool("help", False, "Show this help and exit.", short_name="h")
DATA_DIR = paths.define(
    "data_dir",
    None,
    "Folder in which TensorFlow Datasets keeps MNIST; prepared there if missing. "
    "By default its own: $TFDS_DATA_DIR, else ~/tensorflow_datasets.",
)
DEVICE = flags.DEFINE_enum(
    "device", "auto", runtime.DEVICES, "Where to compute; auto takes a GPU if there is one."
)
KERNEL = settings.define("kernel")


def refuse(arguments: Sequence[str]) -> None:
    """Raise UsageError if there are arguments that are not flags."""
    if arguments:
        raise UsageError(
            f"unexpected {arguments[0]}: a command comes first, and flags begin with --"
        )


def data_dir() -> str | None:
    """Return the value of --data_dir.

    Raises UsageError if it, or TFDS_DATA_DIR in its place, is no folder of this machine, or both
    are missing where the user has no home folder.
    """
    path: str | None = DATA_DIR.value
    variable = os.environ.get("TFDS_DATA_DIR")
    if variable == "":  # which TFDS would take for the current folder
        del os.environ["TFDS_DATA_DIR"]
    name, place = ("TFDS_DATA_DIR", variable) if path is None else ("--data_dir", path)
    if place and (reason := files.no_folder(place)):
        raise UsageError(f"{name}={place}: {reason}: name a folder with --data_dir")
    if not place:
        try:
            Path.home()
        except RuntimeError as error:
            raise UsageError(
                "there is no home folder to keep MNIST in: name a folder with --data_dir"
            ) from error
    if path is not None and Path(path).exists() and not Path(path).is_dir():
        raise UsageError(f"--data_dir={path} is not a folder")
    return path


def progress() -> bool:
    """Return whether progress bars are wanted: on a terminal only."""
    # Keras draws on standard output, TFDS on standard error.
    return sys.stdout.isatty() and sys.stderr.isatty()
