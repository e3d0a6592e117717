import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import Command, environment

from lstm_mnist import data
from lstm_mnist.recurrence import library


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what computes by the compiled kernel, by its mark or `kernel`, where there is none."""
    if library.best() is not None:
        return
    skip = pytest.mark.skip(reason="the compiled kernel is not built")
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if item.get_closest_marker("compiled") or parameters.get("kernel") == "compiled":
            item.add_marker(skip)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which MNIST is prepared once for all tests, which run in several processes."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of the session, where a worker has a folder of its own
    path = folder / "tensorflow_datasets"
    data.load(str(path))
    return path


@pytest.fixture(scope="session")
def dataset(data_dir: Path) -> data.Dataset:
    return data.load(str(data_dir))


@pytest.fixture
def command(data_dir: Path, tmp_path: Path) -> Command:
    """Runs `python -m lstm_mnist` with the prepared dataset, in an empty working directory."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lstm_mnist", *arguments],
            cwd=tmp_path,
            env=environment(data_dir),
            capture_output=True,
            text=True,
            check=False,
        )

    return run
