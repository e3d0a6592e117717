import platform
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import (
    SMALL_STUDY,
    Command,
    Trained,
    run_once,
    started,
    training_workers,
    without_tensorflow,
)
from numpy.typing import NDArray

from lstm_mnist import networks
from lstm_mnist.studies import records


def weights(folder: Path) -> dict[str, NDArray[Any]]:
    import keras

    return networks.weights(keras.saving.load_model(folder / "final.keras"))


NAMES = ("document-seed0", "document-seed1")


@pytest.fixture(scope="module")
def study(data_dir: Path, shared: Path) -> Trained:
    """The folder of a study of two runs; beside it the file `study.json`."""
    where = ("--study_dir=study", "--save=study.json")
    return run_once(
        data_dir, shared / "study", "compare", "--runs=2", "--workers=1", *where, *SMALL_STUDY
    )


@pytest.fixture
def copied(study: Trained, tmp_path: Path) -> Path:
    """A copy of the folder."""
    return shutil.copytree(study.folder, tmp_path / "study")


def test_study_is_trained_and_described(study: Trained) -> None:
    assert "document: 2 runs" in study.output
    assert "NO VERDICT: preliminary by the plan of the studies: 4 epochs where" in study.output
    files = sorted(path.name for path in study.folder.iterdir())
    assert files == [".lock", *NAMES, "report.html", "report.zh.html"]


@pytest.mark.slow
def test_missing_runs_are_trained_though_a_worker_is_killed(
    study: Trained, copied: Path, data_dir: Path, tmp_path: Path
) -> None:
    first, second = (copied / name for name in NAMES)
    shutil.rmtree(second)
    before = first.stat().st_mtime_ns
    arguments = ("compare", "--runs=3", "--study_dir=study", "--workers=2", *SMALL_STUDY)
    with started(data_dir, tmp_path, *arguments) as process:
        workers = training_workers(process, copied)
        assert len(workers) == 2
        for worker in workers:
            worker.suspend()
        assert not [*copied.glob(".*/result.json")]
        other = without_tensorflow(tmp_path, *arguments)
        assert other.returncode == 7
        holder = f"process {process.pid} on {platform.node()}"
        assert other.stderr == f"lstm_mnist: --study_dir=study is in use by {holder}\n"
        workers[0].kill()
        workers[1].resume()
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert output.count("final test") == 2
    assert "document: 3 runs" in output
    assert first.stat().st_mtime_ns == before
    # As it was trained without a disturbance.
    undisturbed = study.folder / second.name
    assert records.read_folder(second).epochs == records.read_folder(undisturbed).epochs
    ours, theirs = weights(second), weights(undisturbed)
    for name, value in ours.items():
        assert np.array_equal(value, theirs[name])


@pytest.mark.parametrize(
    "source", [[f"--from=study/{NAMES[0]}", f"study/{NAMES[1]}"], ["--from=study.json"]]
)
def test_finished_runs_are_described_alike_wherever_they_are(
    study: Trained, source: list[str]
) -> None:
    again = without_tensorflow(study.folder.parent, "compare", *source)
    assert again.returncode == 0, again.stderr
    described = study.output.split("document:")[1].removesuffix("Report: study/report.html\n")
    assert again.stdout.split("document:")[1] == described


def test_runs_of_other_settings_are_not_added(copied: Path, command: Command) -> None:
    finished = command("compare", "--runs=3", "--study_dir=study", "--units=9", *SMALL_STUDY[1:])
    assert finished.returncode == 2
    assert "document-seed0 was trained with other settings (units)" in finished.stderr
    assert not (copied / "document-seed2").exists()


@pytest.mark.slow
def test_study_of_another_arithmetic_is_not_trained_to_its_end(
    copied: Path, command: Command
) -> None:
    for name in NAMES:
        path = copied / name / "result.json"
        path.write_text(path.read_text().replace('"compiled-1"', '"compiled-9"'))
    arguments = ("--runs=40", "--workers=1", "--study_dir=study", *SMALL_STUDY)
    for _ in range(2):  # the second time, nothing more is trained
        finished = command("compare", *arguments)
        assert finished.returncode == 2
        assert "are both called document but differ in arithmetic" in finished.stderr
    assert (copied / "document-seed2").exists()
    assert not (copied / "document-seed3").exists()


def test_run_of_a_study_is_checked(study: Trained) -> None:
    arguments = (f"study/{NAMES[0]}", "--min_test_accuracy=99", "--gate=final")
    finished = without_tensorflow(study.folder.parent, "check", *arguments)
    assert finished.returncode == 6
    assert "below --min_test_accuracy=99" in finished.stderr


def test_runs_of_a_study_are_checked_together(study: Trained) -> None:
    finished = without_tensorflow(study.folder.parent, "check", "study", "--min_test_accuracy=10")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("best epoch") == 2


def test_median_of_a_study_misses_a_threshold(study: Trained) -> None:
    arguments = ("--from=study", "--min_train_accuracy=99.9")
    finished = without_tensorflow(study.folder.parent, "compare", *arguments)
    assert finished.returncode == 6
    assert "false alarm: unknown" in finished.stdout
    assert "median of 2 runs: train accuracy" in finished.stderr


@pytest.mark.slow
def test_killed_as_a_whole_it_starts_again(data_dir: Path, tmp_path: Path) -> None:
    of = ("--network=birnn", "--variants=stable")
    arguments = ("compare", "--runs=1", "--study_dir=study", *of, *SMALL_STUDY)
    with started(data_dir, tmp_path, *arguments) as process:
        training_workers(process, tmp_path / "study")
        process.send_signal(signal.SIGKILL)
    with started(data_dir, tmp_path, *arguments) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "NO VERDICT: preliminary" in output
    assert "stable-birnn: 1 run;" in output
    names = [path.name for path in (tmp_path / "study").glob("*stable*")]
    assert names == ["stable-birnn-seed0"]
