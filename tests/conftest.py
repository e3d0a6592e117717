import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers import SMALL_RUN, Command, Trained, run_program, train_once

from lstm_mnist import data
from lstm_mnist.recurrence import library
from lstm_mnist.system import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browsing import Browser


def pytest_collection() -> None:
    """Import TensorFlow before the tests do, in half the time, as the program does."""
    # On a GPU, the processes of tests and of the program share its memory.
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    with runtime.uncollected():
        import keras  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Begin with what needs no dataset, and skip what needs the compiled kernel where it lacks."""
    # While one process of the tests prepares MNIST, the others have something to do.
    items.sort(key=lambda item: "data_dir" in item.fixturenames)
    if library.best() is not None:
        return
    skip = pytest.mark.skip(reason="the compiled kernel is not built")
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if item.get_closest_marker("compiled") or parameters.get("kernel") == "compiled":
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what is made once for all tests, which run in several processes."""
    folder = tmp_path_factory.getbasetemp()
    # Of the session, where a worker has a folder of its own.
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def data_dir(shared: Path) -> Path:
    """The folder in which MNIST is prepared, by the first process that comes."""
    folder = shared / "tensorflow_datasets"
    data.load(str(folder))
    return folder


@pytest.fixture(scope="session")
def dataset(data_dir: Path) -> data.Dataset:
    return data.load(str(data_dir))


@pytest.fixture(scope="session")
def epoch_run(data_dir: Path, shared: Path) -> Trained:
    """A run of one epoch by the default settings but the seed."""
    return train_once(data_dir, shared / "epoch", "--epochs=1", "--seed=1")


@pytest.fixture(scope="session")
def small_run(data_dir: Path, shared: Path) -> Trained:
    """A run of `SMALL_RUN`."""
    return train_once(data_dir, shared / "small", *SMALL_RUN)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Browser]":
    from browsing import opened  # late: it needs Selenium, which no other test does

    with opened(tmp_path_factory.mktemp("browser")) as opened_browser:
        yield opened_browser


@pytest.fixture
def command(data_dir: Path, tmp_path: Path) -> Command:
    """Runs `python -m lstm_mnist` with the prepared dataset, in an empty working directory."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_program(data_dir, tmp_path, *arguments)

    return run
