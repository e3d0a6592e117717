"""Files: written whole or not at all, locked against other processes, checked beforehand."""

import contextlib
import errno
import json
import math
import os
import platform
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from lstm_mnist.system import errors
from lstm_mnist.system.errors import OutputError

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}-")
MAX_NAME = 255  # bytes, on the file systems of Linux
MAX_INPUT = 10**9  # bytes of a file to read, which memory holds; see `reading`


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
    except Exception as error:
        if errors.is_full_disk(error):  # as TensorFlow tells of it
            reason = os.strerror(errno.ENOSPC)
            raise OutputError(f"{path} cannot be written: {reason}") from error
        raise


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    path = _target(path)
    # A plain Path, because one of TFDS's own type cannot be searched.
    temporary = Path(path.parent, f".{uuid.uuid4().hex}-{path.name}")
    if len(os.fsencode(temporary.name)) > MAX_NAME:
        start = temporary.name[:34]  # and the suffix, by which Keras and Matplotlib know formats
        fits = len(start) + len(os.fsencode(path.suffix)) <= MAX_NAME
        temporary = temporary.with_name(start + path.suffix if fits else start)
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


def _target(path: Path) -> Path:
    """Return the path that a symbolic link leads to, or the path itself."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def is_temporary(path: Path) -> bool:
    """Return whether a path's name is one that `replacing` yields."""
    return _TEMPORARY.match(path.name) is not None


def sweep(folder: Path, *, folders: bool = False) -> None:
    """Remove the temporary files that killed processes left in a folder nobody else writes to.

    `folders` removes temporary folders as well.
    """
    for path in filter(is_temporary, folder.iterdir()):
        if not path.is_dir():
            path.unlink()
        elif folders:
            shutil.rmtree(path, ignore_errors=True)


def _synchronise(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems over networks know it of files alone.
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(descriptor)


def reading(path: Path, *, limit: float = MAX_INPUT) -> IO[bytes]:
    """Open a file to read.

    Raises OSError, also for what might block, such as a named pipe, and for what has more bytes
    than `limit`. Checkpoints and networks may be large: their limit is the memory available.
    """

    def open_at_once(name: str, flags: int) -> int:
        descriptor = os.open(name, flags | os.O_NONBLOCK)
        found = os.fstat(descriptor)
        reason = None
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            reason = "it is not a regular file"  # Python itself refuses folders
        elif found.st_size > limit:
            reason = f"it has {found.st_size:,} bytes, and {limit:,.0f} is the limit"
        if reason:
            os.close(descriptor)
            raise OSError(errno.EINVAL, reason, name)
        return descriptor

    return open(path, "rb", opener=open_at_once)


def read(path: Path, *, limit: float = MAX_INPUT) -> bytes:
    """Return a file's content. Raises OSError, as `reading` does."""
    with reading(path, limit=limit) as file:
        return file.read()


def read_npz(path: Path) -> dict[str, Any]:
    """Return the arrays of a file of NumPy's. Raises ValueError for whatever is wrong with it."""
    import numpy as np

    try:
        with reading(path) as file, np.load(file) as arrays:
            return dict(arrays)
    except MemoryError:
        raise
    except Exception as error:  # np.load raises what zipfile, zlib and its own parser raise
        raise ValueError(errors.first_line(error)) from error


def parse_json(content: bytes) -> Any:
    """Parse JSON whose numbers are finite and keys unique. Raises ValueError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(mapping := dict(pairs)) != len(pairs):
            raise ValueError("duplicate key")
        return mapping

    def finite(text: str) -> float:
        if not math.isfinite(number := float(text)):
            raise ValueError(f"{text:.40} is not a finite number")
        return number

    try:
        return json.loads(
            content.decode(), object_pairs_hook=unique, parse_float=finite, parse_constant=finite
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def write_json(path: Path, value: Any) -> None:
    """Write a value, whose numbers are finite, as an indented JSON file. Raises OutputError."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def locked(lock: Path, place: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock against other processes; it is released when this process ends.

    Raises OutputError, which calls what is locked `place`, if the file system refuses or, without
    `wait`, if another process holds the lock.
    """
    import filelock

    def sign(descriptor: int) -> None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}".encode(), 0)

    try:
        # filelock would try for ever where no file can be created, as in /proc.
        lock.touch()
        held = filelock.FileLock(lock, timeout=-1 if wait else 0, on_acquired=sign).acquire()
    except filelock.Timeout as error:
        raise OutputError(f"{place} is in use by {lock.read_text()}") from error
    except OSError as error:
        raise OutputError(f"{place} cannot be written: {error.strerror}") from error
    with held:
        yield


def _nothing(path: Path) -> bool:
    return False


def fault(path: Path) -> str | None:
    """Return why the system refuses to tell whether a path exists, or None if it does tell."""
    try:
        str(path).encode()
        os.stat(f"{path}/.")  # noqa: PTH116  a Path would drop the dot, which enters a folder
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return error.strerror
    return None


def no_folder(place: str) -> str | None:
    """Return why a name, in which ~ is a home, cannot be a folder of this machine, or None."""
    if "://" in place:
        return "it is no folder of this machine"
    try:
        return fault(Path(place).expanduser())
    except RuntimeError:
        return "it is in the home of nobody known here"


def check_folder(path: Path, flag: str, *, left_over: Callable[[Path], bool] = _nothing) -> None:
    """Check, without leaving a trace, that a folder can be created or is empty and writable.

    Entries for which `left_over` is true do not count. Raises OutputError, which names the flag.
    """
    with refusing(f"--{flag}={path}"):
        existing = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise OutputError(f"--{flag}={path}: {existing} is not a writable folder")
        if existing == path and not all(map(left_over, path.iterdir())):
            raise OutputError(f"--{flag}={path} is not empty: name another folder")


def create_folder(path: Path, flag: str) -> None:
    """Create a folder. Raises OutputError, which names the flag."""
    check_folder(path, flag)
    with refusing(f"--{flag}={path}"):
        path.mkdir(parents=True, exist_ok=True)


def check_file(path: Path) -> None:
    """Check, without leaving a trace, that a file can be written. Raises OutputError."""
    with refusing(str(path)):
        target = _target(path)
        if not target.parent.is_dir() or not os.access(target.parent, os.W_OK | os.X_OK):
            raise OutputError(f"{path} cannot be written: {target.parent} is not a writable folder")
        if target.exists() and not target.is_file():
            kind = "a folder" if target.is_dir() else "not a regular file"
            raise OutputError(f"{path} cannot be written: it is {kind}")


@contextlib.contextmanager
def refusing(place: str) -> Iterator[None]:
    """Raise OutputError where the system refuses something at a place."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{place} cannot be written: {error.strerror}") from error


def check_space(folder: Path, needed: int) -> None:
    """Check that a folder's disk has `needed` bytes left. Raises OutputError."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(f"it takes {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free")
