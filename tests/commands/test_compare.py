import platform
import signal
from pathlib import Path
from typing import Any

import numpy as np
from helpers import SMALL_STUDY, Command, started, training_workers
from numpy.typing import NDArray

from lstm_mnist import networks
from lstm_mnist.studies import records


def weights(folder: Path) -> dict[str, NDArray[Any]]:
    import keras

    return networks.weights(keras.saving.load_model(folder / "final.keras"))


def assert_same_runs(one: Path, other: Path, names: tuple[str, ...]) -> None:
    for name in names:
        assert records.read_folder(one / name).epochs == records.read_folder(other / name).epochs
        ours, theirs = weights(one / name), weights(other / name)
        for key, value in ours.items():
            assert np.array_equal(value, theirs[key])


def test_compare_trains_continues_and_survives_the_kill_of_a_worker(
    command: Command, data_dir: Path, tmp_path: Path
) -> None:
    names = ("document-seed0", "document-seed1")
    undisturbed = command("compare", "--runs=2", "--study_dir=one", "--save=one.json", *SMALL_STUDY)
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert undisturbed.stderr == ""
    assert "document: 2 runs" in undisturbed.stdout
    assert (
        "NO VERDICT: preliminary by the plan of the studies: 4 epochs where" in undisturbed.stdout
    )

    with started(
        data_dir, tmp_path, "compare", "--runs=2", "--study_dir=two", *SMALL_STUDY
    ) as process:
        workers = training_workers(process, tmp_path / "two")
        assert len(workers) == 2
        workers[0].kill()
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert_same_runs(tmp_path / "one", tmp_path / "two", names)
    files = sorted(path.name for path in (tmp_path / "two").iterdir())
    assert files == [".lock", *names, "report.html", "report.zh.html"]

    # A third run is added; the finished ones are not touched.
    finished = {name: (tmp_path / "one" / name).stat().st_mtime_ns for name in names}
    more = command("compare", "--runs=3", "--study_dir=one", *SMALL_STUDY)
    assert more.returncode == 0, more.stderr
    assert "document: 3 runs" in more.stdout
    assert more.stdout.count("final test") == 1
    for name, time_ns in finished.items():
        assert (tmp_path / "one" / name).stat().st_mtime_ns == time_ns

    # The same runs, from folders, from the study's folder, from the file.
    described = undisturbed.stdout.split("document:")[1].removesuffix("Report: one/report.html\n")
    for source in (["--from=one/" + names[0], "one/" + names[1]], ["--from=one.json"]):
        again = command("compare", *source)
        assert again.returncode == 0, again.stderr
        assert again.stdout.split("document:")[1] == described

    other = command("compare", "--runs=2", "--study_dir=one", "--units=9", *SMALL_STUDY[1:])
    assert other.returncode == 2
    assert "document-seed0 was trained with other settings (units)" in other.stderr

    check = command("check", "one/document-seed0", "--min_test_accuracy=99", "--gate=final")
    assert check.returncode == 6
    assert "below --min_test_accuracy=99" in check.stderr
    passed = command("check", "one", "--min_test_accuracy=10")
    assert passed.returncode == 0, passed.stderr
    assert passed.stdout.count("best epoch") == 3
    gate = command("compare", "--from=one", "--min_train_accuracy=99.9")
    assert gate.returncode == 6
    assert "false alarm: unknown" in gate.stdout
    assert "median of 3 runs: train accuracy" in gate.stderr


def test_killed_as_a_whole_it_starts_again(data_dir: Path, tmp_path: Path) -> None:
    of = ("--network=birnn", "--variants=stable")
    arguments = ("compare", "--runs=1", "--study_dir=study", *of, *SMALL_STUDY)
    with started(data_dir, tmp_path, *arguments) as process:
        training_workers(process, tmp_path / "study")
        with started(data_dir, tmp_path, *arguments) as second:
            _, errors = second.communicate()
        assert second.returncode == 7
        holder = f"process {process.pid} on {platform.node()}"
        assert errors == f"lstm_mnist: --study_dir=study is in use by {holder}\n"
        process.send_signal(signal.SIGKILL)
    with started(data_dir, tmp_path, *arguments) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "NO VERDICT: preliminary" in output
    assert "stable-birnn: 1 run;" in output
    names = [path.name for path in (tmp_path / "study").glob("*stable*")]
    assert names == ["stable-birnn-seed0"]


def test_train_misses_a_threshold(command: Command, tmp_path: Path) -> None:
    finished = command(
        "--output_dir=out",
        "--min_train_accuracy=99",
        "--units=4",
        "--batch_size=5000",
        "--epochs=1",
    )
    assert finished.returncode == 6
    assert "is below --min_train_accuracy=99" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert (tmp_path / "out" / "result.json").exists()
