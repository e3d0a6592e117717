"""The accuracy gate: what passes it is proven, and everything else fails."""

import dataclasses
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from forgeries import (
    CONFIG,
    FIRST_EPOCH_FORGED,
    FORGED_RUNS,
    FORGED_STUDIES,
    PAGE,
    RESULT,
    RUN,
    STUDY,
    Alter,
    all_of,
    counted,
    put,
    rendered,
    settings,
    without,
    written,
)
from helpers import ROOT, Command, Trained, completed, without_tensorflow

from lstm_mnist import config
from lstm_mnist.runs import model_files
from lstm_mnist.studies import calibration, gate, records
from lstm_mnist.system.errors import DataError, UsageError

# What every run here reaches: where it fails, it is not for its accuracy.
REACHED = "--min_test_accuracy=10"


@pytest.fixture(scope="module")
def trained(small_run: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small real run in `run`, and the file `study.json` of it."""
    folder = tmp_path_factory.mktemp("gate")
    shutil.copytree(small_run.folder, folder / "run")
    saved = without_tensorflow(folder, "compare", "--from=run", "--save=study.json", REACHED)
    assert saved.returncode == 0, saved.stderr
    run = records.read_folder(folder / "run")
    assert run.best is run.final  # which is what the forgeries below go by
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def refused(finished: subprocess.CompletedProcess[str], code: int, message: str) -> None:
    """Check that a command ended by one line and nothing else."""
    assert finished.returncode == code, finished.stdout + finished.stderr
    assert message in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert finished.stdout == ""


def test_sound_evidence_passes(folder: Path) -> None:
    for name in ("run", "study.json"):
        finished = without_tensorflow(folder, "check", name, REACHED)
        assert (finished.returncode, finished.stderr) == (0, "")
        assert finished.stdout.startswith("run: best epoch: train ")
        missed = without_tensorflow(folder, "check", name, "--min_test_accuracy=99")
        assert missed.returncode == 6
        assert missed.stdout == finished.stdout
    # A run of an installed package has no commit.
    put(RESULT, None, "git")(folder)
    assert without_tensorflow(folder, "check", "run", REACHED).returncode == 0


@pytest.mark.parametrize(("alter", "message"), FORGED_RUNS.values(), ids=FORGED_RUNS)
def test_forged_run_is_refused(folder: Path, alter: Alter, message: str) -> None:
    alter(folder)
    with pytest.raises(DataError, match=re.escape(message)) as refusal:
        records.read([folder / "run"])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("alter", "message"), FORGED_STUDIES.values(), ids=FORGED_STUDIES)
def test_forged_study_is_refused(folder: Path, alter: Alter, message: str) -> None:
    alter(folder)
    with pytest.raises(DataError, match=re.escape(message)) as refusal:
        records.read([folder / "study.json"])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "alter", "message"),
    [
        *(
            ("run", *FORGED_RUNS[forged])
            for forged in ("no JSON", "a named pipe", "deep", "percent of the history")
        ),
        *(("study.json", *FORGED_STUDIES[forged]) for forged in ("deep", "a name of two lines")),
    ],
)
def test_check_tells_of_a_forgery(folder: Path, name: str, alter: Alter, message: str) -> None:
    alter(folder)
    refused(without_tensorflow(folder, "check", name, REACHED), 3, message)


def test_page_tells_of_every_forgery() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert rendered(text) == text
    for forged, (_, message) in (FORGED_RUNS | FORGED_STUDIES).items():
        assert f"| {forged} | `{message}` |" in text


def test_compare_refuses_forgeries_too(folder: Path) -> None:
    FIRST_EPOCH_FORGED(folder)
    put(STUDY, math.nan, *RUN, "epochs", 1, 2)(folder)
    for name, message in (("run", "disagree on best"), ("study.json", "NaN is not a finite")):
        refused(without_tensorflow(folder, "compare", f"--from={name}", REACHED), 3, message)


def test_committed_studies_are_sound() -> None:
    for path in sorted({*records.COMMITTED.glob("*.json")} - {calibration.COMMITTED}):
        assert records.read([path])


THRESHOLDS = ("min_train_accuracy", "min_test_accuracy", "max_test_accuracy")
NO_PERCENTAGE = "must be a percentage, from 0 to 100"


@pytest.mark.parametrize(
    ("command", "flag", "value", "message"),
    [
        *(
            (command, flag, "nan", NO_PERCENTAGE)
            for command in ("train", "check", "compare")
            for flag in THRESHOLDS
        ),
        ("check", "min_test_accuracy", "inf", NO_PERCENTAGE),
        ("check", "min_test_accuracy", "-1.0", NO_PERCENTAGE),
        ("check", "min_test_accuracy", "100.1", NO_PERCENTAGE),
        ("check", "min_train_accuracy", "0.98", "is a percentage: write 98 for 98 %"),
        ("check", "min_test_accuracy", "0.9827", "is a percentage: write 98.27 for 98.27 %"),
        ("check", "max_test_accuracy", "1.0", "is a percentage: write 100 for 100 %"),
    ],
)
def test_threshold_is_a_percentage(
    tmp_path: Path, command: str, flag: str, value: str, message: str
) -> None:
    finished = without_tensorflow(tmp_path, command, f"--{flag}={value}")
    refused(finished, 2, f"flag --{flag}={value}: {message}")


def test_thresholds_that_nothing_could_pass(tmp_path: Path) -> None:
    for command in ("train", "check", "compare"):
        arguments = {"check": ["run"], "compare": ["--from=run"]}.get(command, [])
        finished = without_tensorflow(tmp_path, command, *arguments, "--min_test_accuracy=99.6")
        refused(finished, 2, "--min_test_accuracy=99.6 is above --max_test_accuracy=99.5")


def test_what_is_checked_is_there_and_once(folder: Path) -> None:
    (folder / "link").symlink_to("run")
    for twice in (["run", "run"], ["run", "link"], ["run", "study.json"]):
        finished = without_tensorflow(folder, "check", *twice, REACHED)
        refused(finished, 2, "are one run: give each run once")
        first, *rest = twice
        finished = without_tensorflow(folder, "compare", f"--from={first}", *rest, REACHED)
        refused(finished, 2, "are one run: give each run once")
    # As a shell has it where a variable is not set.
    for nothing in ([], [""], ["run", ""]):
        refused(without_tensorflow(folder, "check", *nothing, REACHED), 2, "check needs the folder")
    refused(without_tensorflow(folder, "compare", "--from=", REACHED), 2, "--from needs folders")
    # A run that is not finished has not passed.
    (folder / "unfinished").mkdir()
    shutil.copy(folder / CONFIG, folder / "unfinished" / "config.json")
    finished = without_tensorflow(folder, "check", ".", REACHED)
    refused(finished, 3, "unfinished/result.json is unreadable: No such file or directory")


def test_folder_of_any_name_is_checked(folder: Path) -> None:
    for name, shown in (("\u8fd0\u884c\u30001", "\u8fd0\u884c\\u30001"), ("a\tb", "a\\tb")):
        shutil.copytree(folder / "run", folder / name)
        finished = without_tensorflow(folder, "check", name, REACHED)
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout.startswith(f"{shown}: best epoch")


def test_messages_hide_no_digit(folder: Path) -> None:
    all_of(counted("train", 54_180), counted("test", 9_827))(folder)
    for split, least, told in (
        ("test", "98.2701", "9827 of 10000 (98.27 %)"),
        ("test", "98.27000001", "9827 of 10000 (98.27 %)"),
        ("train", "98.51", "54180 of 55000 (98.50909090909092 %)"),
    ):
        finished = without_tensorflow(folder, "check", "run", f"--min_{split}_accuracy={least}")
        assert finished.returncode == 6
        told = f"{split} accuracy {told} of the best epoch is below --min_{split}_accuracy={least}"
        assert finished.stderr == f"lstm_mnist: run: {told}\n"
    for reached in ("--min_test_accuracy=98.27", "--min_train_accuracy=98.509"):
        assert without_tensorflow(folder, "check", "run", reached).returncode == 0
    counted("test", 9_951)(folder)
    finished = without_tensorflow(folder, "check", "run")
    assert finished.returncode == 6
    assert "9951 of 10000 (99.51 %) of the best epoch is too good to be true" in finished.stderr


@dataclasses.dataclass(frozen=True)
class Output:
    """Where the output of a program goes, and the code with which it ends where it passes."""

    redirection: str
    passed: int


OUTPUTS = [
    Output(">/dev/full", 7),
    Output(">/dev/full 2>&1", 7),
    Output(">&-", 7),
    Output("| true", 141),
]


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.redirection)
@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        ("check run", ""),
        pytest.param("check run", "1", marks=pytest.mark.slow),
        pytest.param("compare --from=run", "", marks=pytest.mark.slow),
        pytest.param("compare --from=run", "1", marks=pytest.mark.slow),
    ],
)
def test_output_that_cannot_be_written_changes_no_verdict(
    folder: Path, command: str, unbuffered: str, output: Output
) -> None:
    for threshold, code in ((REACHED, output.passed), ("--min_test_accuracy=99", 6)):
        program = f"{sys.executable} -m lstm_mnist {command} {threshold}"
        finished = subprocess.run(
            # The reader of a pipe has gone before the program writes.
            ["bash", "-c", f"set -o pipefail; {{ sleep 0.3; {program}; }} {output.redirection}"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)} | {"PYTHONUNBUFFERED": unbuffered},
            capture_output=True,
            text=True,
            check=False,
        )
        if output.redirection == ">&-":
            code = 7  # it does not begin
        assert finished.returncode == code, finished.stderr
        assert "Traceback" not in finished.stderr
        assert finished.stderr.count("\n") <= 1


def test_training_whose_output_cannot_be_written(data_dir: Path, tmp_path: Path) -> None:
    small = "--units=4 --epochs=1 --batch_size=5000 --output_dir=out"
    program = f"{sys.executable} -m lstm_mnist {small} {REACHED}"
    finished = completed(data_dir, tmp_path, "bash", "-c", f"{program} >/dev/full")
    refused(finished, 7, "standard output cannot be written: No space left on device")


def test_evaluate_scores_the_networks_again(folder: Path, command: Command) -> None:
    # By another kernel than today's, of the same weights.
    all_of(settings(kernel="fast"), without(RESULT, "arithmetic"))(folder)
    sound = command("check", "run", "--evaluate", REACHED)
    assert (sound.returncode, sound.stderr) == (0, "")
    # Files that agree with each other deceive who looks at them alone.
    true = records.read_folder(folder / "run").final
    counted("test", 9_900)(folder)
    assert without_tensorflow(folder, "check", "run", "--min_test_accuracy=99").returncode == 0
    all_of(counted("test", true.test.correct), counted("validation", true.validation.correct + 1))(
        folder
    )
    finished = command("check", "run", "--evaluate", REACHED)
    refused(finished, 3, f"run/best.keras classifies {true.validation.correct} of 5000 ")
    more = true.validation.correct + 1
    assert f"validation images correctly, not {more} as the run's files say" in finished.stderr


@pytest.mark.parametrize(
    ("name", "alter", "message"),
    [
        pytest.param(
            "run",
            written("run/final.keras", None),
            "run/final.keras is not a model of this project",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "run",
            written("run/best.keras", model_files.SHIPPED.read_bytes()),
            "run/best.keras is not the network of its run's settings",
            marks=pytest.mark.slow,
        ),
        ("run", FIRST_EPOCH_FORGED, "disagree on best_by_validation"),
    ],
    ids=["missing", "another's", "forged"],
)
def test_evaluate_refuses(
    folder: Path, command: Command, name: str, alter: Alter, message: str
) -> None:
    alter(folder)
    refused(command("check", name, "--evaluate", REACHED), 3, message)


def test_study_file_has_no_networks_to_evaluate(folder: Path) -> None:
    finished = without_tensorflow(folder, "check", "run", "study.json", "--evaluate", REACHED)
    refused(finished, 2, "--evaluate: study.json is a file and holds no networks: give folders")


@pytest.mark.parametrize("variant", ["original", "original_hidden", "stable"])
def test_steadier_epoch_is_judged(variant: str) -> None:
    """By the committed studies, where the learning rate decays to 0, or runs fall."""
    runs = records.read([records.COMMITTED / f"{variant}.json"])
    best, final = (
        statistics.stdev([getattr(run, epoch).test.percent for run in runs])
        for epoch in gate.EPOCHS
    )
    judged = gate.Gate().judged(runs[0].config)
    assert judged == ("best" if best < final else "final")
    assert judged == ("final" if variant == "stable" else "best")


def test_epoch_that_is_asked_for_is_judged() -> None:
    for epoch in gate.EPOCHS:
        assert gate.Gate(epoch=epoch).judged(config.variant("stable")) == epoch
    assert gate.Gate().judged(config.variant("document")) == "best"


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"min_test_accuracy": 0.98}, "min_test_accuracy=0.98 is a percentage: write 98 for 98 %"),
        ({"min_train_accuracy": math.nan}, "min_train_accuracy=nan must be a percentage"),
        ({"max_test_accuracy": math.nan}, "max_test_accuracy=nan must be a percentage"),
        ({"max_test_accuracy": None}, "max_test_accuracy=None is not a number"),
        ({"min_test_accuracy": "98"}, "min_test_accuracy='98' is not a number"),
        ({"min_test_accuracy": True}, "min_test_accuracy=True is not a number"),
        ({"epoch": "last"}, "epoch=last is none of best, final"),
    ],
)
def test_gate_of_no_thresholds(thresholds: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        gate.Gate(**thresholds)


def test_gate_fails_what_it_cannot_compare() -> None:
    strict = gate.Gate(min_train_accuracy=98.5, min_test_accuracy=98.27)
    assert strict.failures("run", "best", train=54_175, test=9_827) == []
    assert len(strict.failures("run", "best", train=54_174, test=9_826)) == 2
    (good,) = gate.Gate(max_test_accuracy=100.0).failures("run", "best", train=0, test=10_000)
    assert "too good to be true" in good
    assert gate.Gate().failures("run", "best", train=55_000, test=1_000) == []
