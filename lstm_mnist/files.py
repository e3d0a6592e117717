"""Writing files whole or not at all."""

import contextlib
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}-")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, then put what was written there in its place.

    Where the file system refuses, which raises OSError, `path` is what it was before.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        yield temporary
        _synchronise(temporary)
        temporary.replace(path)
        _synchronise(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def is_temporary(path: Path) -> bool:
    """Return whether a path is one that `replacing` yielded."""
    return _TEMPORARY.match(path.name) is not None


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder nobody else writes to."""
    for path in filter(is_temporary, folder.iterdir()):
        path.unlink()


def _synchronise(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
