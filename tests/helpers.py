"""What tests of several folders share: processes of the program, and waiting for them."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

Command = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[1]
# Flags of runs that take seconds and go on for some epochs.
SMALL_STUDY = ("--units=8", "--batch_size=1000", "--epochs=4")


def environment(data_dir: Path) -> dict[str, str]:
    """Return the environment in which another process finds this package and the dataset."""
    inherited = dict(os.environ)
    inherited.pop("TF_CPP_MIN_LOG_LEVEL", None)  # which tf2onnx sets when it is imported
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "TFDS_DATA_DIR": str(data_dir),
    }


@contextlib.contextmanager
def started(
    data_dir: Path, cwd: Path, *arguments: str, prefix: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m lstm_mnist` in the background, under the command `prefix` if there is one."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "lstm_mnist", *arguments],
        cwd=cwd,
        env=environment(data_dir),
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
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def without_tensorflow(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program where importing TensorFlow raises."""
    script = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from lstm_mnist.__main__ import main; sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def training_workers(process: subprocess.Popen[str], folder: Path) -> list[psutil.Process]:
    """Wait until a run has finished an epoch, and return the processes that train."""
    wait_for(process, lambda: list(folder.glob(".*/history.csv")))
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
