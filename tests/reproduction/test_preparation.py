"""Preparing MNIST: killed, by two processes at once, and where there is no room for it."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers import ROOT, environment, in_namespace, running, wait_for

from lstm_mnist import archives, data

SMALL = ("--units=1", "--epochs=1", "--batch_size=5000", "--data_dir=data")
# Preparing starts with the same random state in both processes, which would give TFDS's temporary
# folders the same name, and any connection raises.
PREPARE = """
import random, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise RuntimeError(f"connection attempted: {event} {arguments}")
sys.addaudithook(refuse)
random.seed(0)
from lstm_mnist import data
from lstm_mnist.system import runtime
runtime.start("cpu", "keras")
print(len(data.load(sys.argv[1]).train.labels))
"""


class Preparation(NamedTuple):
    """How two processes prepared MNIST at once, after one that was killed."""

    after_kill: list[str]  # the names of the folders that the killed one left
    processes: list[tuple[int, str, str]]  # exit code, standard output and error
    left: list[str]  # the names in the folder at last, in order


def preparing(folder: Path) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    return running([sys.executable, "-c", PREPARE, str(folder)], ROOT, dict(os.environ))


@pytest.fixture(scope="module")
def preparation(tmp_path_factory: pytest.TempPathFactory) -> Preparation:
    """Kill a process while it prepares MNIST, then let two prepare it at once."""
    folder = tmp_path_factory.mktemp("prepared")
    with preparing(folder) as killed:
        wait_for(killed, lambda: list(folder.glob(".mnist-unpacked-*/mnist/*/*tfrecord*")))
    after_kill = sorted(path.name for path in folder.iterdir() if path.is_dir())
    # What a process leaves that is killed while it writes the decoded copy.
    (folder / f".{'0' * 32}-{data.DECODED}").write_bytes(b"half of it")
    with preparing(folder) as one, preparing(folder) as other:
        outputs = [process.communicate() for process in (one, other)]
    ends = [(each.returncode, *output) for each, output in zip((one, other), outputs, strict=True)]
    return Preparation(after_kill, ends, sorted(path.name for path in folder.iterdir()))


@pytest.mark.slow
def test_two_processes_prepare_at_once_without_a_network(preparation: Preparation) -> None:
    for code, output, errors in preparation.processes:
        assert (code, output) == (0, "55000\n"), errors


@pytest.mark.slow
def test_killed_preparation_leaves_nothing_to_the_next(preparation: Preparation) -> None:
    assert preparation.after_kill
    assert "mnist" not in preparation.after_kill
    assert preparation.left == [".mnist.lock", "mnist", data.DECODED, archives.RECORDS]


@pytest.mark.slow
def test_disk_that_fills_while_mnist_is_prepared(data_dir: Path, tmp_path: Path) -> None:
    # The second disk is as large as is asked for, and half of it is taken meanwhile.
    script = """
        python=$1; shift; mkdir data; mount -t tmpfs -o size=100m tmpfs data
        $python -m lstm_mnist "$@"; echo $?; ls -A data
        mount -t tmpfs -o size=150m tmpfs data
        $python -m lstm_mnist "$@" & process=$!
        while ! ls -A data | grep -q unpacked; do sleep 0.01; done
        head -c 120m /dev/zero >data/others 2>/dev/null
        wait $process; echo $?; rm data/others; ls -A data
    """
    finished = in_namespace(script, data_dir, tmp_path, *SMALL)
    assert finished.stdout.split() == ["7", ".mnist.lock"] * 2, finished.stderr
    first, second = finished.stderr.splitlines()
    advice = "name a writable folder with --data_dir"
    assert first == (
        "lstm_mnist: MNIST cannot be prepared in data (it takes 130 MB, and 105 MB are free): "
        + advice
    )
    assert second.startswith("lstm_mnist: MNIST cannot be prepared in data (")
    assert second.endswith(advice)


@pytest.mark.slow
def test_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "tensorflow_datasets").write_text("")
    variables = environment(tmp_path)
    del variables["TFDS_DATA_DIR"]
    finished = subprocess.run(
        [sys.executable, "-m", "lstm_mnist", "verify"],
        env={**variables, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 7, finished.stderr
    assert finished.stderr.startswith("lstm_mnist: MNIST cannot be prepared in ")
    assert finished.stderr.count("\n") == 1
