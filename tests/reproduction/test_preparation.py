"""Preparing MNIST where there is no room for it."""

import subprocess
import sys
from pathlib import Path

from helpers import environment, in_namespace

SMALL = ("--units=1", "--epochs=1", "--batch_size=5000", "--data_dir=data")


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
