"""What setup.py makes of the compiled kernel's sources."""

import os
import shutil
import subprocess
import sys
import tarfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from helpers import ROOT

FOLDER = Path("lstm_mnist", "recurrence")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Return a folder with what builds the kernel, and its sources."""
    (tmp_path / FOLDER).mkdir(parents=True)
    kernel = [path for pattern in ("*.cpp", "*.h") for path in (ROOT / FOLDER).glob(pattern)]
    assert kernel
    for path in [ROOT / "setup.py", ROOT / "MANIFEST.in", *kernel]:
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    return tmp_path


def setup(folder: Path, *arguments: str, compiler: str = "false") -> None:
    subprocess.run(
        [sys.executable, "setup.py", *arguments],
        cwd=folder,
        env={**os.environ, "CC": compiler, "CXX": compiler},
        capture_output=True,
        check=True,
    )


@pytest.mark.parametrize("compiler", ["false", "missing-compiler"])
def test_no_library_of_earlier_sources_stays(sources: Path, compiler: str) -> None:
    for folder in (sources / FOLDER, sources / "built" / FOLDER):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"_kernel_v1{EXTENSION_SUFFIXES[0]}").write_text("of earlier sources")
    setup(sources, "build_ext", "--inplace", "--build-lib=built", compiler=compiler)
    assert [*sources.rglob("*.so")] == []


def test_source_distribution_has_every_source_of_the_kernel(sources: Path) -> None:
    setup(sources, "sdist")
    (archive,) = sources.glob("dist/*.tar.gz")
    with tarfile.open(archive) as members:
        names = {Path(*Path(name).parts[1:]) for name in members.getnames()}
    assert {path.relative_to(sources) for path in (sources / FOLDER).iterdir()} <= names
