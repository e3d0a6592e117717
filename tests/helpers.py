"""What tests of several folders share: processes of the program, and waiting for them."""

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from filelock import FileLock

from lstm_mnist.config import NETWORKS
from lstm_mnist.order import EpochOrder, epoch_orders

Command = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[1]
PATIENCE = 1200  # seconds: far more than anything takes, on a loaded machine too
# Flags of the shortest run of more than one epoch.
SMALL_RUN = ("--units=4", "--batch_size=1000", "--epochs=2")
# In it an ordinary user may mount.
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
# Flags of runs that take seconds and go on for some epochs.
SMALL_STUDY = ("--units=8", "--batch_size=5000", "--epochs=4")

# All networks as parameters of a test; the others are parts of those that it takes by default.
DEEPEST_BY_DEFAULT = [
    network
    if network in ("deep_birnn", "deep_bilstm")
    else pytest.param(network, marks=pytest.mark.slow)
    for network in NETWORKS
]


def environment(data_dir: Path) -> dict[str, str]:
    """Return the environment in which another process finds this package and the dataset."""
    inherited = dict(os.environ)
    inherited.pop("TF_CPP_MIN_LOG_LEVEL", None)  # which TensorFlow's tools set when imported
    inherited.pop("MPLCONFIGDIR", None)  # of which the program needs none
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "TFDS_DATA_DIR": str(data_dir),
    }


def completed(
    data_dir: Path, cwd: Path, *command: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with further environment variables."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment(data_dir) | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def run_program(
    data_dir: Path, cwd: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m lstm_mnist` to its end, with further environment variables."""
    return completed(data_dir, cwd, sys.executable, "-m", "lstm_mnist", *arguments, **variables)


def in_namespace(
    script: str, data_dir: Path, cwd: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a shell script where it may mount file systems."""
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system allows no namespaces")
    shell = ("bash", "-c", script, "bash", sys.executable, *arguments)
    return completed(data_dir, cwd, *NAMESPACE, *shell)


class Trained(NamedTuple):
    """A finished run, or study, that tests share: they copy what they change."""

    folder: Path
    output: str  # what its process printed


def train_once(data_dir: Path, folder: Path, *arguments: str, **variables: str) -> Trained:
    """Train a run as `run_once` does."""
    return run_once(data_dir, folder, *arguments, f"--output_dir={folder.name}", **variables)


def run_once(data_dir: Path, folder: Path, *arguments: str, **variables: str) -> Trained:
    """Run a command that makes `folder`, beside it, in the first process that asks for it.

    The others wait. The command has no home folder, and not even root can make one.
    """
    printed = folder.with_suffix(".txt")
    with FileLock(folder.with_suffix(".lock")):
        if not printed.exists():
            finished = run_program(
                data_dir, folder.parent, *arguments, HOME="/proc/nonexistent", **variables
            )
            assert (finished.returncode, finished.stderr) == (0, "")
            printed.write_text(finished.stdout)
    return Trained(folder, printed.read_text())


@contextlib.contextmanager
def started(
    data_dir: Path, cwd: Path, *arguments: str, prefix: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m lstm_mnist` in the background, under the command `prefix` if there is one."""
    program = (*prefix, sys.executable, "-m", "lstm_mnist", *arguments)
    with running(program, cwd, environment(data_dir)) as process:
        yield process


@contextlib.contextmanager
def running(
    command: Sequence[str], cwd: Path, variables: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Run a command in the background, and kill it at the end if it still runs."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], happened: Callable[[], object]) -> None:
    """Wait until something has happened while a process runs."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def without_tensorflow(
    cwd: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the program where importing TensorFlow raises."""
    return without("tensorflow", cwd, *arguments, **variables)


def without(
    package: str, cwd: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the program where importing a package raises."""
    script = (
        f"import sys; sys.modules['{package}'] = None\n"
        "from lstm_mnist.__main__ import main; sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def training_workers(process: subprocess.Popen[str], folder: Path) -> list[psutil.Process]:
    """Wait until a run has finished an epoch, and return the processes that train."""
    wait_for(process, lambda: list(folder.glob(".*/history.csv")))
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def epoch_order(
    seed: int, epoch: int, *, train_size: int, test_size: int, batch_size: int
) -> EpochOrder:
    """Return the order of epoch `epoch` (from 0) alone; see `epoch_orders`."""
    orders = epoch_orders(seed, train_size=train_size, test_size=test_size, batch_size=batch_size)
    return next(itertools.islice(orders, epoch, None))
