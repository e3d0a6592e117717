"""Files: written whole or not at all, locked against other processes, checked beforehand."""

import contextlib
import json
import os
import platform
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lstm_mnist.system.errors import OutputError

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}-")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, then move what was written there to `path`.

    Takes a file or a folder. A non-empty folder at `path` is an error. Raises OutputError where the
    file system refuses; `path` is then what it was before.
    """
    try:
        with _replaced(path) as temporary:
            yield temporary
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[Path]:
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


def write_json(path: Path, value: Any) -> None:
    """Write a value as an indented JSON file. Raises OutputError."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def locked(lock: Path, place: str) -> Iterator[None]:
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
