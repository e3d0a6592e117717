"""Checkpoints of unfinished runs, each a single file.

A checkpoint's name holds the run's position and the file's SHA-256, so that no second file can get
out of step with it. The order of the examples is not stored: it follows from the seed and the steps
taken.
"""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lstm_mnist import __version__
from lstm_mnist.config import TOTALS, Config
from lstm_mnist.results import Epoch, Run, Score, State
from lstm_mnist.runs import run_folder
from lstm_mnist.system import files, resources
from lstm_mnist.system.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lstm_mnist.runs.probes import Recorded

FOLDER = "checkpoints"
KEPT = 2
_NAME = re.compile(r"epoch-(\d+)-step-(\d+)-([0-9a-f]{64})\.npz")
_LOCK = ".lock"
# What reading something else than a checkpoint raises.
_UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    RecursionError,
    UsageError,
    zipfile.BadZipFile,
)
_GROUPS = ("weights", "optimizer", "metrics", "best")  # the arrays of a `State`


class Checkpoint(NamedTuple):
    """A valid checkpoint's content."""

    path: Path
    state: State
    dynamics: "Recorded | None"  # if they are recorded
    seconds: float  # since the start of the run, without interruptions
    arithmetic: str  # see `library.arithmetic`
    device: dict[str, Any]  # what `runtime.start` returned
    passed_over: tuple[str, ...] = ()  # what is wrong with newer checkpoints

    @property
    def config(self) -> Config:
        """Return the run's settings."""
        return self.state.run.config

    @property
    def place(self) -> str:
        """Return where the run stood."""
        return f"epoch {len(self.state.run.epochs) + 1}, step {self.state.step}"


class Store:
    """Saves the checkpoints of a run, and keeps the last ones.

    `start` is the checkpoint from which the run continues.
    """

    def __init__(self, folder: Path, start: Checkpoint | None = None) -> None:
        self.start = start
        self._folder = folder / FOLDER
        self._kept = [start.path] if start else []

    def save(
        self,
        state: State,
        dynamics: "Recorded | None",
        seconds: float,
        *,
        arithmetic: str,
        device: Mapping[str, Any],
    ) -> None:
        """Save a checkpoint. Raises OutputError; earlier checkpoints then stay."""
        import numpy as np

        text = json.dumps(
            {
                "version": __version__,
                "arithmetic": arithmetic,
                "device": device,
                "config": state.run.config.as_dict(),
                "state": {
                    "epochs": [dataclasses.asdict(epoch) for epoch in state.run.epochs],
                    "step": state.step,
                    "step_seconds": state.step_seconds,
                },
                "dynamics": dynamics,
                "seconds": seconds,
            }
        )
        arrays = {
            f"{group}/{number}": array
            for group in _GROUPS
            for number, array in enumerate(getattr(state, group))
        }
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, json=np.array(text), **arrays)
        content = buffer.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        path = self._folder / f"epoch-{len(state.run.epochs)}-step-{state.step}-{digest}.npz"
        files.write_bytes(path, content)
        self._kept = [*self._kept, path][-KEPT:]
        for old in _files(self._folder):
            if old not in self._kept:
                old.unlink()

    def clear(self) -> None:
        """Remove all checkpoints, which a finished run does not need."""
        for path in _files(self._folder):
            path.unlink()


def begun(folder: Path) -> bool:
    """Return whether a folder holds a run that was begun and not finished."""
    return (folder / run_folder.CONFIG).is_file() and bool(_files(folder / FOLDER))


def check_new(folder: Path) -> None:
    """Check, without leaving a trace, that a run can begin in a folder: a missing or an empty one.

    Leftovers of a process that was killed before its run began are allowed. Raises OutputError.
    """
    files.check_folder(folder, "output_dir", left_over=_left_over)


def _left_over(path: Path) -> bool:
    if path.name == FOLDER and path.is_dir():
        return all(map(_left_over, path.iterdir()))
    names = path.name == _LOCK, files.is_temporary(path), path.name.startswith("epoch-0-step-0-")
    return any(names) and path.is_file()


@contextlib.contextmanager
def held(folder: Path, *, new: bool = False) -> Iterator[Path]:
    """Create a run's folder, lock it against other processes, and yield it.

    With `new`, a number is added to its name if the folder exists. If it holds no checkpoint at the
    end, what was created is removed. Raises OutputError.
    """
    with files.refusing(str(folder)):
        made = [*itertools.takewhile(lambda path: not path.exists(), folder.parents)]
        folder.parent.mkdir(parents=True, exist_ok=True)
        if new:
            folder = _unused(folder)
        if new or _created(folder):
            made.insert(0, folder)
        place = folder / FOLDER
        place.mkdir(exist_ok=True)
    with files.locked(place / _LOCK, str(folder)):
        try:
            with files.refusing(str(folder)):
                files.sweep(folder)
                files.sweep(place)
            yield folder
        finally:
            if not _files(place):
                with contextlib.suppress(OSError):
                    (place / _LOCK).unlink()
                    for path in (place, *made):
                        path.rmdir()


def _unused(folder: Path) -> Path:
    """Create a folder, with a number added to its name if it exists, and return its path."""
    others = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(filter(_created, itertools.chain([folder], others)))


def _created(folder: Path) -> bool:
    """Create a folder unless it exists; return whether it was created."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def newest(folder: Path) -> Checkpoint:
    """Return the newest valid checkpoint of a run's folder.

    Raises CheckpointError where there is none.
    """
    # The disk may have been full after the first checkpoint, before the settings were written.
    known = (folder / run_folder.CONFIG).exists()
    config = run_folder.read_config(folder) if known else None
    passed_over: list[str] = []
    for path in reversed(_files(folder / FOLDER)):
        try:
            return _read(path, config)._replace(passed_over=tuple(passed_over))
        except CheckpointError as error:
            passed_over.append(str(error))
    reasons = "; ".join(passed_over) or "there is no file"
    raise CheckpointError(f"{folder / FOLDER} holds no checkpoint to continue from: {reasons}")


def _read(path: Path, config: Config | None) -> Checkpoint:
    """Read a checkpoint of a run with these settings, if they are known. Raises CheckpointError."""
    import numpy as np

    try:
        content = files.read(path, limit=resources.available_memory())
    except OSError as error:
        raise CheckpointError(f"{path} is unreadable: {error.strerror}") from error
    actual, expected = hashlib.sha256(content).hexdigest(), _match(path)[3]
    if actual != expected:
        raise CheckpointError(f"{path} is damaged: SHA-256 {actual}, expected {expected}")
    groups: dict[str, list[NDArray[Any]]] = {}
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            described = json.loads(str(arrays["json"]))
            for name in arrays.files:
                if name != "json":
                    groups.setdefault(name.partition("/")[0], []).append(arrays[name])
        version, settings = described["version"], described["config"]
        config = config or Config.from_dict(settings)
        if (version, settings) != (__version__, config.as_dict()):
            raise CheckpointError(f"{path} is another run's, or another version's")
        position = described["state"]
        run = Run(config, tuple(map(_epoch, position["epochs"])))
        state = State(run, position["step"], position["step_seconds"], **groups)
        if not _possible(state):
            raise ValueError("its state is none of this run")
        told = (described[name] for name in ("dynamics", "seconds", "arithmetic", "device"))
        return Checkpoint(path, state, *told)
    except _UNREADABLE as error:
        raise CheckpointError(f"{path} is not a checkpoint: {error}") from error


def _possible(state: State) -> bool:
    """Return whether a run with these settings can be in this state."""
    config, epochs = state.run.config, state.run.epochs
    return (
        [epoch.number for epoch in epochs] == [*range(1, len(epochs) + 1)]
        and len(epochs) <= config.epochs
        and state.step in range(TOTALS["train"] // config.batch_size + 1)
        and len(state.best) == (len(state.weights) if epochs else 0)
    )


def _epoch(value: Mapping[str, Any]) -> Epoch:
    """Return an epoch from its JSON object."""
    scores = {split: Score(**value[split]) for split in ("train", "validation", "test")}
    return Epoch(**{**value, **scores})


def _files(folder: Path) -> list[Path]:
    """Return the files with names of checkpoints, the oldest first."""
    paths = [path for path in folder.glob("epoch-*.npz") if _NAME.fullmatch(path.name)]
    return sorted(paths, key=lambda path: (int(_match(path)[1]), int(_match(path)[2]), path.name))


def _match(path: Path) -> re.Match[str]:
    match = _NAME.fullmatch(path.name)
    assert match
    return match
