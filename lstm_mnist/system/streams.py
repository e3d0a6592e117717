"""Standard output and standard error: open, fit for any text, and what their errors mean."""

import errno
import io
import os
import sys
from pathlib import Path
from typing import TextIO

from lstm_mnist.system.errors import OutputError

# Errors of writing to standard output; unlike a file's, they carry no file name.
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


def prepare() -> None:
    """Make the streams take any text, and give no file the number of a closed stream.

    Call it before anything is opened. What is written to a closed standard error is dropped.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # File names may hold characters that the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")


def check() -> None:
    """Raise OutputError if standard output is closed."""
    if sys.stdout is None:
        raise OutputError("standard output is closed")


def failure(error: OSError) -> OutputError | None:
    """Return the OutputError for a failure to write to standard output, else None."""
    if error.errno in _UNWRITABLE and error.filename is None:
        return OutputError(f"standard output cannot be written: {error.strerror}")
    return None


def end(stream: TextIO | None) -> None:
    """Flush a stream, dropping what cannot be written; Python would exit with code 120 for it."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
