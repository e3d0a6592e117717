"""Failures that a user can act on: each becomes one line on standard error and an exit code."""

import os
import platform
import sys
import tempfile
import traceback
from pathlib import Path

UNEXPECTED = 70  # the exit code of a fault in the program, EX_SOFTWARE in sysexits.h


class UserError(Exception):
    """Base of the failures that are reported without a traceback."""

    exit_code: int


class UsageError(UserError):
    """A flag, an argument or their combination is wrong."""

    exit_code = 2


class PictureError(UserError):
    """A user's picture cannot be read, or shows no digit."""

    exit_code = 2


class DataError(UserError):
    """An input file (archive, dataset, trace, network) is missing, unreadable or altered."""

    exit_code = 3


class CheckpointError(UserError):
    """The checkpoint to continue from is missing, damaged or another run's."""

    exit_code = 4


class DivergedError(UserError):
    """A loss or a weight is not a finite number any more."""

    exit_code = 5


class AccuracyError(UserError):
    """An accuracy is below what was asked for, or too good to be true."""

    exit_code = 6


class OutputError(UserError):
    """Results cannot be written where they were asked to go."""

    exit_code = 7


class MachineError(UserError):
    """The machine, or a cluster, fails to do its part: memory, TensorFlow's start, workers."""

    exit_code = 8


def of_file(error: OSError) -> DataError | None:
    """Return the DataError for a file or folder that the system refused to read, else None.

    Failures to write are OutputErrors already; see `files.py`.
    """
    if error.filename is None:
        return None
    return DataError(f"{error.filename} cannot be read: {error.strerror}")


def of_memory(error: Exception) -> MachineError | OutputError | None:
    """Return the error to report if memory, disk space or threads ran out, else None."""
    if is_full_disk(error):
        return OutputError("a file cannot be written: No space left on device")
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return MachineError("the machine grants no further thread: raise `ulimit -u`")
    if _is_exhausted(error) or isinstance(error, MemoryError):
        return MachineError(
            "there is not enough memory: take fewer --units, a smaller --batch_size, or another "
            "machine"
        )
    return None


def is_full_disk(error: Exception) -> bool:
    """Return whether TensorFlow tells that a disk is full."""
    return _is_exhausted(error) and "No space left on device" in str(error)


def _is_exhausted(error: Exception) -> bool:
    # TensorFlow's error stands for memory and disks; its name tells it, without TensorFlow.
    return type(error).__name__ == "ResourceExhaustedError"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not blank, else the error's type."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def report(error: Exception, version: str) -> str:
    """Write all that is known about an unexpected error to a file; return the line to print.

    Where no file can be written, all goes to standard error.
    """
    told = (
        f"lstm_mnist {version}, Python {platform.python_version()}, {platform.platform()}\n"
        f"{sys.argv!r}\n{''.join(traceback.format_exception(error))}"
    )
    try:
        place = str(_written(told))
    except OSError:
        print(told, file=sys.stderr)
        place = "above"
    return f"unexpected {type(error).__name__}: {first_line(error):.200}; details: {place}"


def _written(text: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="lstm_mnist-", suffix=".txt")
    os.close(descriptor)
    path = Path(name)
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError:
        path.unlink()
        raise
    return path
