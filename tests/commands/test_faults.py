import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, Command, environment, in_namespace

from lstm_mnist import data
from lstm_mnist.studies import records

SMALL = ("--units=4", "--batch_size=1000")


@pytest.mark.slow
def test_full_and_read_only_disks(data_dir: Path, tmp_path: Path) -> None:
    # The first epochs fit on this disk, and the others do not.
    script = """
        python=$1; shift; mkdir disk; mount -t tmpfs -o size=88k tmpfs disk
        $python -m lstm_mnist "$@" --output_dir=disk/run >&2; echo $?
        ls disk/run/checkpoints
        mount -o remount,ro disk
        $python -X importtime -m lstm_mnist "$@" --output_dir=disk/run 2>read-only; echo $?
        mount -o remount,rw,size=10m disk
        $python -m lstm_mnist --resume=disk/run >&2; echo $?
        cp -r disk/run .
    """
    finished = in_namespace(script, data_dir, tmp_path, *SMALL, "--epochs=4")
    assert "cannot be written: No space left on device\n" in finished.stderr, finished.stderr
    full, *checkpoints, read_only, resumed = finished.stdout.splitlines()
    assert (full, read_only, resumed) == ("7", "7", "0"), finished.stderr
    assert checkpoints
    assert "Traceback" not in finished.stderr
    errors = (tmp_path / "read-only").read_text()
    assert "lstm_mnist: disk/run cannot be written: Read-only file system" in errors
    assert "tensorflow" not in errors
    assert json.loads((tmp_path / "run" / "result.json").read_text())["final"]["epoch"] == 4


@pytest.mark.slow
def test_any_user_without_a_home_and_with_read_only_data(data_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data_dir, copy)
    (copy / data.DECODED).unlink()
    before = sorted(copy.rglob("*"))
    script = """
        python=$1; shift; mount --bind data data && mount -o remount,bind,ro data
        anyone="unshare --user --map-user=12345 env -i PYTHONPATH=$PYTHONPATH"
        touch data/probe; $anyone id -u
        $anyone TFDS_DATA_DIR=data $python -m lstm_mnist "$@"; echo $?
        $anyone $python -X importtime -m lstm_mnist "$@" 2>no-home; echo $?
    """
    finished = in_namespace(script, copy, tmp_path, *SMALL, "--epochs=1", "--output_dir=out")
    user, *output, code, without_home = finished.stdout.splitlines()
    assert (user, code) == ("12345", "0"), finished.stderr
    assert finished.stderr.count("\n") == 1  # that of the probe
    assert "touch: cannot touch 'data/probe': Read-only file system" in finished.stderr
    assert output[-1] == "Report: out/report.html"
    assert sorted(copy.rglob("*")) == before
    assert without_home == "2"
    errors = (tmp_path / "no-home").read_text()
    assert "lstm_mnist: there is no home folder to keep MNIST in: name a folder with --d" in errors
    assert "tensorflow" not in errors


def test_diverging_run(command: Command, tmp_path: Path) -> None:
    finished = command(*SMALL, "--learning_rate=1e38", "--output_dir=out")
    assert finished.returncode == 5
    assert re.fullmatch(
        r"lstm_mnist: seed 0 has diverged in epoch 1: after step 5 the mean loss is nan; what was "
        r"before stays in out/checkpoints: a smaller --learning_rate may help\n",
        finished.stderr,
    )
    assert "Iter" not in finished.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "checkpoints",
        "config.json",
        "diverged.json",
    ]
    assert len(list(tmp_path.glob("out/checkpoints/epoch-0-step-0-*.npz"))) == 1


@pytest.mark.slow
def test_diverging_run_of_a_study(command: Command, tmp_path: Path) -> None:
    many = command("compare", "--runs=1", *SMALL, "--learning_rate=1e38", "--study_dir=study")
    assert (many.returncode, many.stderr) == (0, "")
    assert "document-seed0: seed 0 has diverged in epoch 1: after step 5" in many.stdout
    # In place of a result there is what a network scores that names every image 0.
    assert re.search(r"^ +0 +9\.90 +9\.58 +9\.80 +980 ", many.stdout, re.MULTILINE)
    check = command("check", "study", "--min_test_accuracy=5")
    assert check.returncode == 3
    assert "document-seed0 is not finished: seed 0 has diverged in epoch 1" in check.stderr


@pytest.mark.slow
def test_without_the_compiled_kernel(data_dir: Path, tmp_path: Path) -> None:
    package = ROOT / "lstm_mnist"
    without = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(package, tmp_path / "lstm_mnist", ignore=without)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lstm_mnist", "--epochs=1", *SMALL, *arguments],
            cwd=tmp_path,
            env={**environment(data_dir), "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    refused = run("--kernel=compiled")
    assert refused.returncode == 2
    assert "--kernel=compiled: the compiled kernel was not built: install" in refused.stderr
    assert refused.stderr.count("\n") == 1
    finished = run("--output_dir=run")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("Keras' own layers are taken: the compiled kernel was not") == 1
    assert records.read([tmp_path / "run"])[0].arithmetic == "keras-1"
