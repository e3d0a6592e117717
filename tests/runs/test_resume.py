import csv
import hashlib
import itertools
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import Command, environment, started, wait_for, without_tensorflow

from lstm_mnist import config, data
from lstm_mnist.recurrence import library
from lstm_mnist.results import Observer
from lstm_mnist.runs import checkpoints, execution, model_files
from lstm_mnist.studies import records
from lstm_mnist.system.errors import UsageError

SMALL = ("--units=4", "--batch_size=1000", "--record_dynamics")
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


def paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoints/epoch-*"))


def saved(folder: Path) -> list[str]:
    """Return how far a run's checkpoints are, the oldest first."""
    return [path.name[: -len("-.npz") - 64] for path in paths(folder)]


def test_interrupted_run_ends_as_an_undisturbed_one(
    command: Command, data_dir: Path, tmp_path: Path
) -> None:
    arguments = (*SMALL, "--epochs=8")
    undisturbed = command(*arguments, "--output_dir=one")
    assert undisturbed.returncode == 0, undisturbed.stderr

    two = tmp_path / "two"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE_RENAME, "epoch-3-", *arguments, "--output_dir=two"],
        cwd=tmp_path,
        env=environment(data_dir),
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert saved(two) == ["epoch-1-step-0", "epoch-2-step-0"]
    assert list(two.glob("checkpoints/.*epoch-3-*"))  # written, not renamed

    _, newest = paths(two)
    damage(newest, "truncated")
    with started(data_dir, tmp_path, "--resume=two", "--units=4") as process:
        wait_for(process, lambda: any(name > "epoch-3" for name in saved(two)))
        second = without_tensorflow(tmp_path, "--resume=two")
        holder = f"process {process.pid} on {platform.node()}"
        assert second.stderr == f"lstm_mnist: two is in use by {holder}\n"
        assert second.returncode == 7
        process.terminate()
        output, errors = process.communicate()
    assert process.returncode == 143
    assert "Continuing two at epoch 2, step 0\n" in output
    passed_over, terminated = errors.splitlines()
    assert re.fullmatch(
        f"lstm_mnist: .*{newest.name} is damaged: SHA-256 [0-9a-f]+, expected [0-9a-f]+: "
        "passed over",
        passed_over,
    )
    assert terminated == (
        "lstm_mnist: terminated: what was reached is saved; go on by "
        "python -m lstm_mnist --resume=two"
    )
    assert not (two / "result.json").exists()
    assert len(saved(two)) == 2
    assert not list(two.glob("checkpoints/.*epoch-*"))

    # The lock died with its process.
    resumed = command(*arguments, "--output_dir=two")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stderr == ""
    assert_same(tmp_path / "one", two)

    again = without_tensorflow(tmp_path, *arguments, "--output_dir=two")
    assert again.returncode == 7
    assert "--output_dir=two is not empty" in again.stderr


@pytest.fixture(scope="module")
def unfinished(dataset: data.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on a few images that was asked to stop in its third epoch."""
    folder = tmp_path_factory.mktemp("unfinished") / "run"
    settings = config.Config(units=4, epochs=8)
    few = data.Dataset(*(data.Split(images[:500], labels[:500]) for images, labels in dataset))

    class Stopping(Observer):
        questions = itertools.count(1)

        def stop_requested(self) -> bool:
            return next(self.questions) == 9

    with checkpoints.held(folder), pytest.raises(KeyboardInterrupt):
        execution.execute(
            settings,
            few,
            folder,
            device={},
            extras=execution.Extras(dynamics=True),
            store=checkpoints.Store(folder),
            observer=Stopping(),
        )
    assert saved(folder) == ["epoch-2-step-0", "epoch-2-step-5"]
    return folder


def test_changed_flags_are_refused(unfinished: Path) -> None:
    before = sorted(unfinished.rglob("*"))
    changed = ("--units=5", "--variant=original", "--batch_size=100", "--norecord_dynamics")
    for where in ("--resume=run", "--output_dir=run"):
        finished = without_tensorflow(unfinished.parent, where, *changed, "--epochs=8")
        assert finished.returncode == 2
        assert (
            "run holds an unfinished run with other settings "
            "(recurrent_activation is sigmoid, not hard_sigmoid; units is 4, not 5; "
            "record_dynamics is True, not False)"
        ) in finished.stderr
        assert finished.stderr.count("\n") == 1
    assert sorted(unfinished.rglob("*")) == before


def test_another_arithmetic_is_refused(
    unfinished: Path, dataset: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(unfinished.rglob("*"))
    start = checkpoints.newest(unfinished)
    monkeypatch.setattr(library, "VERSION", 2)
    with pytest.raises(UsageError, match=r"begun by arithmetic \w+-1, and here it is \w+-2"):
        execution.execute(
            start.config,
            dataset,
            unfinished,
            device={},
            store=checkpoints.Store(unfinished, start),
        )
    assert sorted(unfinished.rglob("*")) == before


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "truncated":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["truncated", "altered"])
def test_damaged_checkpoints_are_an_error(unfinished: Path, tmp_path: Path, kind: str) -> None:
    shutil.copytree(unfinished, tmp_path / "run")
    for path in paths(tmp_path / "run"):
        damage(path, kind)
    for where in ("--resume=run", "--output_dir=run"):
        finished = without_tensorflow(
            tmp_path, where, "--units=4", "--epochs=8", "--record_dynamics"
        )
        assert finished.returncode == 4
        assert "run/checkpoints holds no checkpoint to continue from" in finished.stderr
        assert finished.stderr.count("damaged: SHA-256") == 2
        assert finished.stderr.count("\n") == 1
    assert len(paths(tmp_path / "run")) == 2


def test_foreign_and_missing_checkpoints_are_an_error(unfinished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(unfinished, run)
    settings = (run / "config.json").read_text()
    (run / "config.json").write_text(settings.replace('"seed": 0', '"seed": 1'))
    foreign = without_tensorflow(tmp_path, "--resume=run")
    assert foreign.returncode == 4
    assert foreign.stderr.count("is another run's") == 2
    assert foreign.stderr.count("\n") == 1

    (run / "config.json").write_text(settings)
    for path in paths(run):
        path.unlink()
    content = b"not an archive"
    digest = hashlib.sha256(content).hexdigest()
    (run / "checkpoints" / f"epoch-7-step-0-{digest}.npz").write_bytes(content)
    not_ours = without_tensorflow(tmp_path, "--resume=run")
    assert not_ours.returncode == 4
    assert f"epoch-7-step-0-{digest}.npz is not a checkpoint" in not_ours.stderr
    assert not_ours.stderr.count("\n") == 1

    paths(run)[0].unlink()
    missing = without_tensorflow(tmp_path, "--resume=run")
    assert missing.returncode == 4
    assert "run/checkpoints holds no checkpoint to continue from: there is no" in missing.stderr


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
