"""Runs the compiled kernel under sanitizers, which find what no result needs to show."""

import os
import platform
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from lstm_mnist.recurrence import library

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("g++")
LEVELS = {"v4": ["-march=x86-64-v4"], "v3": ["-march=x86-64-v3"], "v1": ["-march=x86-64"]}
RUNNABLE = [
    build.name
    for build in library.BUILDS.get(platform.machine(), ())
    if build.features <= library.processor_features()
] or ["generic"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None, reason="there is no g++ to build with sanitizers"),
]


def build(source: str, output: Path, name: str, *more: str) -> None:
    flags = ["-std=c++17", "-O1", "-g", "-pthread", "-ffp-contract=off", *LEVELS.get(name, [])]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", *more]
    subprocess.run([str(COMPILER), *flags, str(ROOT / source), "-o", str(output)], check=True)


@pytest.mark.parametrize("name", RUNNABLE)
def test_kernel_stays_within_its_arrays(name: str, tmp_path: Path) -> None:
    program = tmp_path / "kernel_sizes"
    build("tests/reproduction/kernel_sizes.cpp", program, name)
    done = subprocess.run([program, "3"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) == len("0123456789abcdef\n")


def test_operations_stay_within_their_tensors(tmp_path: Path) -> None:
    for name in ("lstm_mnist", "tests"):
        without = shutil.ignore_patterns("*.so", "__pycache__", "archives", "traces")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=without)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    kernel = tmp_path / f"lstm_mnist/recurrence/_kernel_{RUNNABLE[0]}{EXTENSION_SUFFIXES[0]}"
    build("lstm_mnist/recurrence/operations.cpp", kernel, RUNNABLE[0], "-fPIC", "-shared")
    runtimes = [
        subprocess.check_output([str(COMPILER), f"-print-file-name={file}"], text=True).strip()
        for file in ("libasan.so", "libubsan.so")
    ]
    tests = [
        "tests/reproduction/test_recurrence.py",
        "-q",
        "--numprocesses=0",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *tests],
        cwd=tmp_path,
        # Python and TensorFlow keep some memory to their end.
        env={**os.environ, "LD_PRELOAD": " ".join(runtimes), "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
