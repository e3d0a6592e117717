"""Writing files whole or not at all."""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}-")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, then put what was written there in its place.

    What is written is a file or a folder, in whose place no folder may be that holds anything.
    Where the file system refuses, which raises OSError, `path` is what it was before.
    """
    # A plain path, because TFDS' paths of ours cannot be searched.
    temporary = Path(path.with_name(f".{uuid.uuid4().hex}-{path.name}"))
    try:
        yield temporary
        for part in (*temporary.rglob("*"), temporary):
            _synchronise(part)
        temporary.replace(path)
        _synchronise(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
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
