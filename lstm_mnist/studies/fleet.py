"""Many runs side by side, each in a process of its own, by Dask."""

import contextlib
import functools
import importlib.util
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_mnist.config import Config
from lstm_mnist.recurrence import library
from lstm_mnist.runs import run_folder
from lstm_mnist.studies import records
from lstm_mnist.system import files, runtime
from lstm_mnist.system.errors import DivergedError, OutputError, UsageError, UserError

if TYPE_CHECKING:
    from distributed import Client

    from lstm_mnist.data import Dataset


def check_installed() -> None:
    """Raise UsageError where a package that only `train` needs is missing."""
    for package in ("distributed", "tqdm"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                f"--runs needs the package {package}: pip install -r requirements-compare.lock"
            )


def missing(runs: Mapping[Path, Config], *, dynamics: bool = False) -> dict[Path, Config]:
    """Return the runs that are not finished yet.

    Raises UsageError where a finished one has other settings, or lacks the dynamics wanted.
    """
    return {
        folder: config
        for folder, config in runs.items()
        if not _finished(folder, config, dynamics=dynamics)
    }


def _finished(folder: Path, config: Config, *, dynamics: bool) -> bool:
    if not folder.exists():
        return False
    run = records.read_folder(folder)
    if dynamics and run.dynamics is None and not run.diverged:
        raise UsageError(f"{folder} was trained without --record_dynamics: name another folder")
    found = run.config
    if found != config:
        names = found.as_dict()
        different = [name for name, value in config.as_dict().items() if names[name] != value]
        raise UsageError(
            f"{folder} was trained with other settings ({', '.join(different)}): "
            "name another folder"
        )
    return True


def train(
    runs: Mapping[Path, Config],
    *,
    data_dir: str | None,
    device: str,
    workers: int,
    scheduler: str | None = None,
    dynamics: bool = False,
) -> Generator[Path, None, None]:
    """Train one run per folder, and yield each folder when its run is finished.

    `workers` processes of this machine share its cores, unless `scheduler` is the address of a Dask
    scheduler: this package is installed there, and its workers see the same folders. A run whose
    worker dies starts again on another, and one that diverges is finished. `dynamics` records them.
    Raises UsageError where the scheduler does not answer, and what a run raises.
    """
    import distributed

    # A run keeps its share of the cores when it is the last one left: rounding depends on it.
    sharers = None if scheduler else workers
    with _client(scheduler, min(workers, len(runs))) as client:
        futures = {
            client.submit(
                _train,
                config,
                folder.absolute(),
                data_dir,
                device,
                sharers,
                dynamics,
                key=str(folder),
            ): folder
            for folder, config in runs.items()
        }
        for future in distributed.as_completed(futures):
            if error := future.result():
                raise error
            yield futures[future]


def train_here(
    runs: Mapping[Path, Config], dataset: "Dataset", device: dict[str, Any]
) -> Generator[Path, None, None]:
    """Train one run after the other in this process, in which TensorFlow has been started.

    `device` is what `runtime.start` returned. Raises what a run raises.
    """
    for folder, config in runs.items():
        _train_whole(config, folder, dataset, device)
        yield folder


def in_order(finished: Iterator[Path], folders: Iterable[Path]) -> Iterator[Path]:
    """Yield folders in their own order, each as soon as it and those before it are finished."""
    done: set[Path] = set()
    for folder in folders:
        while folder not in done:
            done.add(next(finished))
        yield folder


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold a folder of runs against other processes. Raises OutputError if one holds it."""
    with files.locked(folder / ".lock", f"--study_dir={folder}"):
        _sweep(folder)
        try:
            yield
        finally:
            _sweep(folder)


def _sweep(folder: Path) -> None:
    """Remove what killed workers left behind."""
    for unfinished in folder.glob(".*-seed*-*"):
        shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator["Client"]:
    import distributed

    if scheduler:
        try:
            client = distributed.Client(scheduler, timeout=10)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(f"--scheduler={scheduler} does not answer") from error
        with client:
            yield client
        return
    # Where TensorFlow has been started, its logging shows what `silence_logs` lets pass.
    logging.getLogger("distributed").propagate = False
    with contextlib.ExitStack() as stack:
        # A terminal sends Ctrl-C to every process, but this one ends the others. They inherit the
        # blocked signal from the threads that start them.
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=0,  # Dask would pause workers over TensorFlow's memory
                    dashboard_address="127.0.0.1:0",  # any free port
                    silence_logs=logging.CRITICAL,  # it logs errors while it closes
                )
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        yield stack.enter_context(distributed.Client(cluster))


@functools.cache  # TensorFlow takes its numbers of threads once per process
def _start(device: str, kernel: str, sharers: int | None) -> dict[str, Any]:
    """Start TensorFlow in a worker, on its share of the cores if it shares a machine."""
    if sharers and hasattr(os, "sched_setaffinity"):
        import distributed

        cores = sorted(os.sched_getaffinity(0))
        number = int(distributed.get_worker().name)
        # Threads inherit this from their parent: TensorFlow's from this one.
        os.sched_setaffinity(0, cores[number % len(cores) :: sharers])
    return runtime.start(device, library.choose(kernel))


@functools.cache  # TensorFlow would keep a copy for every run
def _dataset(data_dir: str | None) -> "Dataset":
    from lstm_mnist import data

    return data.load(data_dir)


def _train(
    config: Config,
    folder: Path,
    data_dir: str | None,
    device: str,
    sharers: int | None,
    dynamics: bool,
) -> UserError | None:
    """Train one run in a worker. User errors are returned: Dask prints the tracebacks of others."""
    if any((folder / name).exists() for name in (run_folder.RESULT, run_folder.DIVERGED)):
        return None
    try:
        there = _start(device, config.kernel, sharers)
        _train_whole(config, folder, _dataset(data_dir), there, dynamics=dynamics)
    except UserError as error:
        return error
    except OSError as error:
        return OutputError(f"{folder} cannot be made: {error.strerror}")
    return None


def _train_whole(
    config: Config,
    folder: Path,
    dataset: "Dataset",
    device: dict[str, Any],
    *,
    dynamics: bool = False,
) -> None:
    """Train one run; its folder appears when it is finished, as a whole."""
    import keras

    from lstm_mnist.runs import execution

    keras.utils.clear_session()  # of the previous run
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        extras = execution.Extras(dynamics=dynamics)
        with contextlib.suppress(DivergedError):  # the folder says so, and the run counts
            execution.execute(config, dataset, unfinished, device=device, extras=extras)
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
