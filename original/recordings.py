"""The files of traces and of complete runs."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import tempfile
from typing import TYPE_CHECKING, Any, Iterator

from errors import RecorderError, UsageError
from script import ITERATIONS

if TYPE_CHECKING:
    from pathlib import Path

    from observer import Observation

BATCH_SIZE = 100  # of the script


def write(contents: dict[Path, bytes]) -> None:
    """Write files whole, all of them or none, except after a crash between two renames.

    Raises UsageError where the file system refuses.
    """
    temporary = {path: path.with_name(f".{os.getpid()}-{path.name}") for path in contents}
    try:
        for path, content in contents.items():
            with temporary[path].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in contents:
            temporary[path].replace(path)
            with _opened_folder(path.parent) as folder:
                os.fsync(folder)
    except OSError as error:
        raise UsageError(f"{', '.join(map(str, contents))} cannot be written: {error}") from error
    finally:
        for path in temporary.values():
            with contextlib.suppress(OSError):
                path.unlink()


def refuse_unwritable(path: Path) -> None:
    """Raise UsageError, before anything has run, if `path` cannot be written."""
    if path.is_dir():
        raise UsageError(f"{path} cannot be written: it is a folder")
    try:
        with tempfile.TemporaryFile(dir=str(path.parent)):
            pass
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from error


def trace_files(
    output: Path, seed: int, origin: dict[str, str], observed: Observation
) -> dict[Path, bytes]:
    """Return the two files of a trace: the NPZ file of the arrays and the JSON file beside it."""
    import numpy as np

    npz = io.BytesIO()
    np.savez_compressed(npz, **observed.arrays)
    fields = {
        "seed": seed,
        **origin,
        "batch_size": BATCH_SIZE,
        "iterations": len(observed.curve),
        "label_order_sha256": observed.label_order_sha256,
    }
    text = json.dumps(fields, indent=1) + "\n"
    return dict(zip(trace_paths(output), (npz.getvalue(), text.encode("utf-8"))))


def load_runs(path: Path, origin: dict[str, str]) -> dict[str, Any]:
    """Return the runs recorded in a file, none if there is no such file.

    Raises RecorderError if it is not a file of runs of the same script, document and versions.
    """
    source = (
        f"the document's script under TensorFlow {origin['tensorflow']}, "
        f"NumPy {origin['numpy']}, CPU"
    )
    columns = ["train accuracy %", "test accuracy %"]
    header = {"source": source, **origin, "columns": columns}
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        seeds = [int(run["seed"]) for run in fields["runs"] if run["seed"] is not None]
        complete = all(len(run["curve"]) == ITERATIONS for run in fields["runs"])
    except FileNotFoundError:
        return {**header, "runs": []}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecorderError(f"--runs={path} is not a file of recorded runs: {error!r}") from error
    for name, value in header.items():
        if fields.get(name) != value:
            raise RecorderError(
                f"--runs={path} has {name} {fields.get(name)!r}, this run {value!r}: "
                "name another file"
            )
    if len(set(seeds)) != len(seeds) or not complete:
        raise RecorderError(f"--runs={path} holds a seed twice or an incomplete run")
    return fields


def append_run(
    path: Path, seed: int | None, origin: dict[str, str], curve: list[tuple[float, float]]
) -> None:
    """Add a complete run to a file of runs, which may have grown meanwhile."""
    with _opened_folder(path.parent) as folder:
        fcntl.flock(folder, fcntl.LOCK_EX)  # until the folder is closed
        fields = load_runs(path, origin)
        if not holds(fields, seed):
            rounded = [[round(value, 4) for value in point] for point in curve]
            fields["runs"].append({"seed": seed, "curve": rounded})
            write({path: (json.dumps(fields) + "\n").encode("utf-8")})


def holds(fields: dict[str, Any], seed: int | None) -> bool:
    """Return whether a file of runs holds a seed's run; runs without a seed all differ."""
    return seed is not None and any(run["seed"] == seed for run in fields["runs"])


@contextlib.contextmanager
def _opened_folder(path: Path) -> Iterator[int]:
    descriptor = os.open(str(path), os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def trace_paths(output: Path) -> tuple[Path, Path]:
    """Return the paths of a trace's NPZ and JSON files."""
    return output, output.with_suffix(".json")
