"""When `make` builds the compiled kernel."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
COMPILER, NO_COMPILER = "cat", "missing-compiler"  # of which `make` only asks whether it is there


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a project whose packages are installed."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").mkdir()
    for age, name in enumerate(
        (".venv/installed", "setup.py", "requirements.lock", "requirements-build.lock")
    ):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    return tmp_path


def builds(folder: Path, compiler: str) -> bool:
    """Say whether `make run` would build now, and leave the stamp of it."""
    command = ["make", "--dry-run", "run", f"CXX={compiler}"]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert "-m lstm_mnist" in told
    for line in told.splitlines():
        if line.startswith("rm -f "):
            (folder / line.removeprefix("rm -f ")).unlink(missing_ok=True)
        if line.startswith("touch "):
            (folder / line.removeprefix("touch ")).touch()
    return "--editable ." in told


def test_kernel_is_built_once(folder: Path) -> None:
    assert builds(folder, COMPILER)
    assert not builds(folder, COMPILER)


def test_kernel_is_built_anew_where_its_sources_are_newer(folder: Path) -> None:
    assert builds(folder, COMPILER)
    os.utime(folder / "setup.py", (1e11, 1e11))
    assert builds(folder, COMPILER)


def test_compiler_that_is_installed_later_builds_the_kernel(folder: Path) -> None:
    assert builds(folder, NO_COMPILER)
    assert not builds(folder, NO_COMPILER)
    assert builds(folder, COMPILER)


def test_compiler_that_comes_back_builds_what_it_missed(folder: Path) -> None:
    assert builds(folder, COMPILER)
    future = (folder / ".venv" / "built").stat().st_mtime + 5
    os.utime(folder / "setup.py", (future, future))
    assert builds(folder, NO_COMPILER)  # pip removes the libraries of the earlier sources
    assert builds(folder, COMPILER)


def test_built_kernel_stays_where_the_compiler_goes(folder: Path) -> None:
    assert builds(folder, COMPILER)
    assert not builds(folder, NO_COMPILER)
