import csv
import os
import platform
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from checkpointed import damage, paths, saved
from helpers import (
    Command,
    completed,
    environment,
    run_program,
    started,
    wait_for,
    without_tensorflow,
)

from lstm_mnist.runs import checkpoints, model_files
from lstm_mnist.studies import records
from lstm_mnist.system import runtime

pytestmark = pytest.mark.xdist_group("resume")  # whose fixtures are made once

SMALL = ("--units=4", "--batch_size=5000", "--record_dynamics")
# Kills the process when a file whose name contains the first argument is written and not renamed.
KILLED_BEFORE_RENAME = """
import os, pathlib, signal, sys
name, rename = sys.argv.pop(1), pathlib.Path.replace
def replace(path, target):
    if name in target.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)
pathlib.Path.replace = replace
from lstm_mnist.__main__ import main; sys.exit(main())
"""


def rows(path: Path) -> list[dict[str, str]]:
    """Return a table without the times, in which no two runs agree."""
    with path.open(newline="") as file:
        return [
            {key: value for key, value in row.items() if "seconds" not in key}
            for row in csv.DictReader(file)
        ]


def weights(path: Path) -> bytes:
    return b"".join(array.tobytes() for array in model_files.load(path).get_weights())


def assert_same(one: Path, other: Path) -> None:
    assert [path.name for path in sorted(one.iterdir())] == [
        path.name for path in sorted(other.iterdir())
    ]
    assert (one / "config.json").read_text() == (other / "config.json").read_text()
    for name in ("history.csv", "dynamics.csv", "epoch_dynamics.csv"):
        assert rows(one / name) == rows(other / name)
    for name in ("best.keras", "final.keras"):
        assert weights(one / name) == weights(other / name)
    assert records.read_folder(one).best == records.read_folder(other).best


class Interrupted(NamedTuple):
    """What became of a run that was killed, continued, terminated and continued again."""

    folder: Path  # with the run in `two`, and an undisturbed one in `one`
    kill: int  # the code with which the killed process ended
    after_kill: list[str]  # the checkpoints that were there then
    half_written: list[Path]
    damaged: Path  # the newest checkpoint, damaged before the run went on
    second: subprocess.CompletedProcess[str]  # a second process, meanwhile
    holder: str
    continued: subprocess.CompletedProcess[str]  # the process that was terminated
    after_termination: list[Path]
    resumed: subprocess.CompletedProcess[str]  # the process that ended the run


@pytest.fixture(scope="module")
def interrupted(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    folder = tmp_path_factory.mktemp("interrupted")
    two = folder / "two"
    arguments = (*SMALL, "--epochs=5")
    undisturbed = run_program(data_dir, folder, *arguments, "--output_dir=one")
    assert undisturbed.returncode == 0, undisturbed.stderr

    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE_RENAME, "epoch-3-", *arguments, "--output_dir=two"],
        cwd=folder,
        env=environment(data_dir),
        capture_output=True,
        check=False,
    )
    after_kill = saved(two)
    half_written = list(two.glob("checkpoints/.*epoch-3-*"))
    damaged = paths(two)[-1]
    damage(damaged, "truncated")
    with started(data_dir, folder, "--resume=two", "--units=4") as process:
        wait_for(process, lambda: any(name > "epoch-3" for name in saved(two)))
        process.send_signal(signal.SIGSTOP)  # it holds its lock, and does not end meanwhile
        second = without_tensorflow(folder, "--resume=two")
        process.terminate()
        process.send_signal(signal.SIGCONT)
        output, errors = process.communicate()
    continued = subprocess.CompletedProcess([], process.returncode, output, errors)
    after_termination = sorted(two.rglob("*"))
    resumed = run_program(data_dir, folder, *arguments, "--output_dir=two")
    holder = f"process {process.pid} on {platform.node()}"
    return Interrupted(
        folder,
        killed.returncode,
        after_kill,
        half_written,
        damaged,
        second,
        holder,
        continued,
        after_termination,
        resumed,
    )


def test_interrupted_run_ends_as_an_undisturbed_one(interrupted: Interrupted) -> None:
    assert (interrupted.resumed.returncode, interrupted.resumed.stderr) == (0, "")
    assert_same(interrupted.folder / "one", interrupted.folder / "two")


def test_kill_before_a_checkpoint_is_renamed_spares_the_earlier_ones(
    interrupted: Interrupted,
) -> None:
    assert interrupted.kill == -signal.SIGKILL
    assert interrupted.after_kill == ["epoch-1-step-0", "epoch-2-step-0"]
    assert interrupted.half_written


def test_damaged_checkpoint_is_passed_over(interrupted: Interrupted) -> None:
    assert "Continuing two at epoch 2, step 0\n" in interrupted.continued.stdout
    passed_over, _ = interrupted.continued.stderr.splitlines()
    assert re.fullmatch(
        f"lstm_mnist: .*{interrupted.damaged.name} is damaged: SHA-256 [0-9a-f]+, "
        "expected [0-9a-f]+: passed over",
        passed_over,
    )


def test_terminated_run_saves_what_it_reached(interrupted: Interrupted) -> None:
    assert interrupted.continued.returncode == 143
    assert interrupted.continued.stderr.endswith(
        "\nlstm_mnist: terminated: what was reached is saved; go on by "
        "python -m lstm_mnist --resume=two\n"
    )
    names = [path.name for path in interrupted.after_termination]
    assert "result.json" not in names
    assert len([name for name in names if name.startswith("epoch-")]) == 2
    assert not [name for name in names if name.startswith(".") and "epoch-" in name]


def test_run_in_use_is_refused(interrupted: Interrupted) -> None:
    assert interrupted.second.returncode == 7
    assert interrupted.second.stderr == f"lstm_mnist: two is in use by {interrupted.holder}\n"


def test_finished_run_is_not_overwritten(interrupted: Interrupted) -> None:
    again = without_tensorflow(interrupted.folder, *SMALL, "--epochs=5", "--output_dir=two")
    assert again.returncode == 7
    assert "--output_dir=two is not empty" in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["keras", "compiled"])
def test_other_number_of_cores_is_told_where_bits_depend_on_it(
    data_dir: Path, tmp_path: Path, kernel: str
) -> None:
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        pytest.skip("there is one core")
    run = tmp_path / "run"
    arguments = ("--units=1", "--batch_size=5000", "--epochs=500", f"--kernel={kernel}")
    one = ("taskset", "--cpu-list", str(first))
    with started(data_dir, tmp_path, *arguments, "--output_dir=run", prefix=one) as process:
        wait_for(process, lambda: saved(run) > ["epoch-1"])
        process.terminate()
        process.communicate()
    with started(data_dir, tmp_path, "--resume=run") as process:
        reached = saved(run)
        wait_for(process, lambda: saved(run) != reached)
        process.terminate()
        _, errors = process.communicate()
    told = (
        f"lstm_mnist: the run began on CPU, 1 cores, and goes on on CPU, {runtime.cores()} cores: "
        "its bits depend on that"
    )
    assert errors.startswith(told) == (kernel == "keras")
    assert errors.count("\n") == 1 + (kernel == "keras")


NOW = """
import pathlib, sys
sys.modules["tensorflow"] = None
from lstm_mnist.runs import run_folder
run_folder.default_folder = lambda seed: pathlib.Path("runs/now")
from lstm_mnist.__main__ import main
sys.exit(main(["--kernel=keras"]))
"""


def test_new_run_beside_one_of_the_same_second(tmp_path: Path) -> None:
    with checkpoints.held(tmp_path / "runs" / "now", new=True):
        done = completed(tmp_path, tmp_path, sys.executable, "-c", NOW)
    assert done.returncode == 8, done.stderr  # it came as far as TensorFlow, which is missing


def test_two_new_runs_at_once_take_two_folders(tmp_path: Path) -> None:
    with (
        checkpoints.held(tmp_path / "runs" / "now", new=True) as one,
        checkpoints.held(tmp_path / "runs" / "now", new=True) as two,
        checkpoints.held(tmp_path / "runs" / "now", new=True) as three,
    ):
        assert [each.name for each in (one, two, three)] == ["now", "now-2", "now-3"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_fifty_kills_change_nothing(command: Command, data_dir: Path, tmp_path: Path) -> None:
    arguments = (*SMALL, "--epochs=400")
    undisturbed = command(*arguments, "--output_dir=one")
    assert undisturbed.returncode == 0, undisturbed.stderr
    two = tmp_path / "two"
    generator = random.Random(0)
    for kill in range(50):
        with started(data_dir, tmp_path, *arguments, "--output_dir=two") as process:
            if kill % 2:  # at any moment from the start of the process
                time.sleep(generator.uniform(0, 8))
            else:  # while it trains
                before = saved(two)
                wait_for(process, lambda: saved(two) != before)  # noqa: B023
                time.sleep(generator.uniform(0, 2))
            assert process.poll() is None, process.communicate()
            process.kill()
    finished = command(*arguments, "--output_dir=two")
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    assert_same(tmp_path / "one", two)
