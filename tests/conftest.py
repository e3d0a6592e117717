import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from lstm_mnist import data
from lstm_mnist.recurrence import library

Command = Callable[..., subprocess.CompletedProcess[str]]

BROWSER_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


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


def environment(data_dir: Path) -> dict[str, str]:
    """Return the environment in which another process finds this package and the dataset."""
    inherited = dict(os.environ)
    inherited.pop("TF_CPP_MIN_LOG_LEVEL", None)  # which tf2onnx sets when it is imported
    return {
        **inherited,
        "PYTHONPATH": str(Path(__file__).parents[1]),
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
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )


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


@dataclasses.dataclass(frozen=True)
class Browser:
    """Chromium without a window."""

    driver: Any

    def resize(self, width: int) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )

    def widths(self) -> tuple[int, int]:
        """Return the widths of the window and of the page, which is wider if it has to scroll."""
        window, page = self.driver.execute_script(
            "return [window.innerWidth, document.documentElement.scrollWidth]"
        )
        return window, page


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    driver_path = shutil.which("chromedriver")
    if not (shutil.which("chromium") and driver_path):
        pytest.skip("there is no chromium or no chromedriver: no browser opens the pages")
    options = webdriver.ChromeOptions()
    for flag in (*BROWSER_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(driver_path))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
