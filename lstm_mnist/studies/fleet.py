"""Many runs side by side, each in a process of its own, by Dask."""

import asyncio
import contextlib
import functools
import importlib.util
import logging
import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_mnist.config import Config
from lstm_mnist.recurrence import library
from lstm_mnist.runs import run_folder
from lstm_mnist.studies import records
from lstm_mnist.system import files, runtime
from lstm_mnist.system.errors import (
    DivergedError,
    MachineError,
    UsageError,
    UserError,
    first_line,
)

if TYPE_CHECKING:
    from distributed import Client, Future

    from lstm_mnist.data import Dataset

PATIENCE = 10  # seconds within which a scheduler, or a worker, must answer


def check_installed(flag: str, *packages: str) -> None:
    """Raise UsageError where a package that a flag needs is missing, or Dask's settings are bad."""
    for package in ("distributed", *packages):
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                f"--{flag} needs the package {package}: pip install -r requirements-compare.lock"
            )
    try:
        importlib.import_module("dask")  # which reads its settings at once
    except (OSError, ValueError) as error:
        raise UsageError(f"Dask's settings: {' '.join(str(error).split()):.200}") from error


def folders(study: Path, configs: Iterable[Config]) -> dict[Path, Config]:
    """Return runs with the folders that they have in a study's.

    Raises UsageError where runs of other settings would have one folder.
    """
    found: dict[Path, Config] = {}
    for each in configs:
        label = records.label(each.variant, each.network)
        if found.setdefault(study / f"{label}-seed{each.seed}", each) != each:
            raise UsageError(
                f"with these flags, several of the variants are called {label}: train them apart, "
                "each in a --study_dir of its own"
            )
    return found


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
    tell: Callable[[str], object] = print,
) -> Generator[Path, None, None]:
    """Train one run per folder, and yield each folder when its run is finished.

    `workers` processes of this machine share its cores, unless `scheduler` is the address of a Dask
    scheduler: this package is installed there, and its workers see the same folders. A run whose
    worker dies starts again on another, and one that diverges counts as finished. `dynamics`
    records the runs' dynamics. `tell` is called with messages for the user. Raises UsageError if no
    scheduler answers, MachineError if it goes away or a run ends worker after worker, and what a
    run raises.
    """

    # A run keeps its share of the cores when it is the last one left: rounding depends on it.
    sharers = None if scheduler else workers
    with _client(scheduler, min(workers, len(runs))) as client:
        folders = {
            client.submit(
                _train,
                config,
                folder.absolute(),
                data_dir,
                device,
                sharers,
                dynamics,
                key=str(folder.absolute()),  # which a scheduler's other users do not have
            ): folder
            for folder, config in runs.items()
        }
        pending = set(folders)
        told = not scheduler
        while pending:
            if not told and not client.scheduler_info()["workers"]:
                tell(f"there are no workers at {scheduler} yet: waiting for one")
                told = True
            done, pending = _wait(pending)
            for future in done:
                if error := _result(future, folders[future]):
                    raise error
                yield folders[future]


def _wait(pending: "set[Future]") -> "tuple[set[Future], set[Future]]":
    """Wait for a run to end, or for a while; return which have ended. Raises MachineError."""
    import distributed

    try:
        return distributed.wait(pending, PATIENCE, "FIRST_COMPLETED")
    except distributed.TimeoutError:
        return set(), pending
    except (distributed.CancelledError, OSError) as error:
        raise MachineError("the Dask scheduler has gone away: start it and this again") from error


def _result(future: "Future", folder: Path) -> UserError | None:
    """Return a run's error, if any. Raises MachineError where it ended worker after worker."""
    import distributed

    try:
        return future.result()
    except distributed.KilledWorker as error:
        raise MachineError(
            f"{folder}: {error.allowed_failures + 1} workers ended while they trained this run: "
            "they may lack memory"
        ) from error


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
    """Make a folder of runs, and lock it against other processes.

    Raises OutputError if it cannot be made, or another process holds the lock.
    """
    with files.refusing(f"--study_dir={folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder / ".lock", f"--study_dir={folder}"):
        files.sweep(folder, folders=True)  # what killed workers left
        try:
            yield
        finally:
            files.sweep(folder, folders=True)


@contextlib.contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator["Client"]:
    import distributed

    if scheduler:
        _check_scheduler(scheduler)
        # It would report in many lines that the scheduler has gone away.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        with distributed.Client(scheduler, timeout=PATIENCE) as client:
            yield client
        return
    # Where TensorFlow has been started, its logging shows what `silence_logs` lets through.
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
        except (RuntimeError, OSError) as error:
            raise MachineError(f"Dask starts no workers here: {first_line(error)}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        yield stack.enter_context(distributed.Client(cluster))


def _check_scheduler(address: str) -> None:
    """Raise UsageError where no Dask scheduler answers at an address, in time."""
    import distributed

    async def identity() -> str:
        security = distributed.Security()  # from Dask's own settings
        arguments = security.get_connection_args("client")
        async with distributed.rpc(address, connection_args=arguments) as remote:
            return (await remote.identity())["type"]

    async def asked() -> str:
        return await asyncio.wait_for(identity(), PATIENCE)

    try:
        kind = asyncio.run(asked())
    except TimeoutError:
        reason = f"nothing that Dask understands came within {PATIENCE} s"
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        reason = first_line(error)
    else:
        if kind == "Scheduler":
            return
        reason = f"it is a {kind}"
    raise UsageError(f"--scheduler={address}: no Dask scheduler answers there ({reason})")


@functools.cache  # TensorFlow's numbers of threads can be set once per process
def _start(device: str, kernel: str, sharers: int | None) -> dict[str, Any]:
    """Start TensorFlow in a worker, on its share of the cores if it shares a machine."""
    if sharers and hasattr(os, "sched_setaffinity"):
        import distributed

        cores = sorted(os.sched_getaffinity(0))
        number = int(distributed.get_worker().name)
        # Threads inherit this from their parent: TensorFlow's from this one.
        os.sched_setaffinity(0, cores[number % len(cores) :: sharers])
    return runtime.start(device, library.choose(kernel), sharers=sharers or 1)


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
    """Train one run in a worker. Returns user errors: Dask prints tracebacks of raised ones."""
    if any((folder / name).exists() for name in run_folder.ENDS):
        return None
    try:
        there = _start(device, config.kernel, sharers)
        _train_whole(config, folder, _dataset(data_dir), there, dynamics=dynamics)
    except UserError as error:
        return error
    return None


def _train_whole(
    config: Config,
    folder: Path,
    dataset: "Dataset",
    device: dict[str, Any],
    *,
    dynamics: bool = False,
) -> None:
    """Train one run; its folder appears complete when the run is finished."""
    import keras

    from lstm_mnist.runs import execution

    keras.utils.clear_session()  # of the previous run
    with files.replacing(folder) as unfinished:
        unfinished.mkdir()
        extras = execution.Extras(dynamics=dynamics)
        with contextlib.suppress(DivergedError):  # the folder says so, and the run counts
            execution.execute(config, dataset, unfinished, device=device, extras=extras)
