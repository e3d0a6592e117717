"""The accuracy gate, by the command line: what passes it is proven, and everything else fails."""

import csv
import dataclasses
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, Command, Trained, completed, without_tensorflow

from lstm_mnist.config import TOTALS
from lstm_mnist.runs import model_files
from lstm_mnist.studies import calibration, gate, records

Alter = Callable[[Path], None]
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


def edited(name: str, change: Callable[[Any], Any]) -> Alter:
    """Change what a JSON file holds, in place or by what is returned."""

    def alter(folder: Path) -> None:
        path = folder / name
        value = json.loads(path.read_text())
        path.write_text(json.dumps(change(value) or value))

    return alter


def put(name: str, value: Any, *keys: Any) -> Alter:
    """Put a value into a JSON file, at the end of a path of keys."""
    *way, last = keys

    def change(whole: Any) -> None:
        for key in way:
            whole = whole[key]
        whole[last] = value

    return edited(name, change)


def without(name: str, *keys: Any) -> Alter:
    """Remove a key, or an item, from a JSON file."""
    *way, last = keys

    def change(whole: Any) -> None:
        for key in way:
            whole = whole[key]
        del whole[last]

    return edited(name, change)


def written(name: str, content: bytes | None) -> Alter:
    """Write a file, or remove it."""

    def alter(folder: Path) -> None:
        (folder / name).write_bytes(content) if content is not None else (folder / name).unlink()

    return alter


def replaced(name: str, old: str, new: str) -> Alter:
    """Replace a part of a text file, wherever it is."""

    def alter(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return alter


def history(change: Callable[[list[list[str]]], Any]) -> Alter:
    """Change the lines of a run's history, of which the first is the header."""

    def alter(folder: Path) -> None:
        path = folder / "run" / "history.csv"
        with path.open(newline="") as file:
            lines = [*csv.reader(file)]
        changed = change(lines) or lines
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(changed)

    return alter


def cell(epoch: int, column: str, text: str) -> Alter:
    """Put a text into a run's history."""

    def change(lines: list[list[str]]) -> None:
        lines[epoch][lines[0].index(column)] = text

    return history(change)


def counted(split: str, correct: int, total: int = 0) -> Alter:
    """Forge the last epoch's count in every file and wherever it is told, as a careful forger."""
    total = total or TOTALS[split]
    told = {"correct": correct, "total": total, "percent": 100 * correct / total}

    def alter(folder: Path) -> None:
        for key, value in told.items():
            cell(-1, f"{split}_{key}", str(value))(folder)
            for epoch in ("final", "best_by_validation"):
                put("run/result.json", value, epoch, split, key)(folder)

    return alter


def all_of(*alterations: Alter) -> Alter:
    """Alter one thing after the other."""

    def alter(folder: Path) -> None:
        for each in alterations:
            each(folder)

    return alter


def settings(**changes: Any) -> Alter:
    """Change settings in both files that hold them."""
    return all_of(
        *(put("run/config.json", value, key) for key, value in changes.items()),
        *(put("run/result.json", value, "config", key) for key, value in changes.items()),
    )


RESULT, CONFIG, HISTORY = "run/result.json", "run/config.json", "run/history.csv"
TEST = ("final", "test", "correct")
FIRST_EPOCH_FORGED = all_of(
    cell(1, "test_correct", "9900"),
    cell(1, "test_percent", "99.0"),
    cell(1, "validation_correct", "4990"),
    cell(1, "validation_percent", "99.8"),
)
OTHER_DATA = dict.fromkeys(TOTALS, "0" * 64)

FORGED_RUNS: dict[str, tuple[Alter, str]] = {
    # The result file, as JSON.
    "no JSON": (written(RESULT, b"{"), "Expecting property name"),
    "no UTF-8": (written(RESULT, b"\xff\xfe"), "can't decode byte 0xff"),
    "another kind": (written(RESULT, b"[]"), "it is [], not dict"),
    "deep": (written(RESULT, b"[" * 100_000), "nested too deeply"),
    "no result": (
        written(RESULT, None),
        "run holds no finished run: there is no result.json in it",
    ),
    "a key twice": (
        replaced(RESULT, '"correct": ', '"correct": 9900, "correct": '),
        "a key is there twice",
    ),
    "a key missing": (without(RESULT, "final", "test", "total"), "'test' lacks total"),
    "a key more": (put(RESULT, 1, "final", "tests"), "'final' has 'tests', which is not known"),
    # Numbers that are none.
    "NaN for a count": (put(RESULT, math.nan, *TEST), "NaN is not a finite number"),
    "infinity for a count": (put(RESULT, math.inf, *TEST), "Infinity is not a finite number"),
    "a number too large": (
        replaced(RESULT, '"percent": ', '"percent": 1e999, "more": '),
        "1e999 is not a finite number",
    ),
    "a text for a count": (put(RESULT, "9900", *TEST), "'correct' is '9900', not int"),
    "true for a count": (put(RESULT, True, *TEST), "'correct' is True, not int"),
    "a float for a count": (put(RESULT, 9900.0, *TEST), "'correct' is 9900.0, not int"),
    "half an image": (put(RESULT, 9900.5, *TEST), "'correct' is 9900.5, not int"),
    "NaN for a loss": (put(RESULT, math.nan, "final", "test", "loss"), "NaN is not a finite"),
    "an int for a loss": (put(RESULT, 1, "final", "test", "loss"), "'loss' is 1, not float"),
    "negative seconds": (put(RESULT, -1.0, "seconds", "total"), "seconds are negative"),
    # Counts.
    "test count of the result": (put(RESULT, 9900, *TEST), "disagree on final"),
    "train count of the result": (
        put(RESULT, 54_000, "final", "train", "correct"),
        "disagree on final",
    ),
    "percent of the result": (put(RESULT, 99.0, "final", "test", "percent"), "disagree on final"),
    "best epoch": (put(RESULT, 1, "best_by_validation", "epoch"), "disagree on best_by_validation"),
    "best test count": (
        put(RESULT, 9900, "best_by_validation", "test", "correct"),
        "disagree on best_by_validation",
    ),
    "test count of the history": (
        all_of(cell(2, "test_correct", "9900"), cell(2, "test_percent", "99.0")),
        "disagree on final",
    ),
    "first epoch": (FIRST_EPOCH_FORGED, "disagree on best_by_validation"),
    "percent of the history": (cell(1, "test_percent", "99.0"), "percent of test are not its"),
    "count without its percent": (cell(1, "test_correct", "9900"), "percent of test are not its"),
    "below 0": (counted("test", -1), "epoch 2: -1 of 10000 test images"),
    "above the total": (counted("test", 10_001), "epoch 2: 10001 of 10000 test images"),
    "another total": (counted("test", 99, 100), "total or percent of test are not its count's"),
    "another train total": (counted("train", 99, 100), "total or percent of train are not"),
    # The history.
    "no history": (written(HISTORY, None), "run/history.csv is unreadable: No such file"),
    "empty history": (written(HISTORY, b""), "other columns"),
    "history of no text": (written(HISTORY, b"\x00"), "other columns"),
    "header alone": (history(lambda lines: lines[:1]), "0 of 2 epochs"),
    "an epoch missing": (history(lambda lines: lines[:2]), "1 of 2 epochs"),
    "an epoch twice": (history(lambda lines: [*lines, lines[-1]]), "row 3 is of epoch 2"),
    "an epoch more": (
        all_of(history(lambda lines: [*lines, lines[-1]]), cell(3, "epoch", "3")),
        "3 of 2 epochs",
    ),
    "epochs reordered": (
        history(lambda lines: [lines[0], lines[2], lines[1]]),
        "row 1 is of epoch 2",
    ),
    "a column more": (history(lambda lines: [[*line, "1"] for line in lines]), "other columns"),
    "a column missing": (history(lambda lines: [line[:-1] for line in lines]), "other columns"),
    "columns reordered": (history(lambda lines: [line[::-1] for line in lines]), "other columns"),
    "a short row": (history(lambda lines: [*lines[:2], lines[2][:-1]]), "other columns"),
    "an empty row": (history(lambda lines: [*lines, []]), "other columns"),
    "NaN in the history": (cell(1, "test_loss", "nan"), "'nan' is no number"),
    "infinity in the history": (cell(1, "test_loss", "inf"), "'inf' is no number"),
    "a spaced count": (cell(1, "test_correct", " 4000"), "' 4000' is no number"),
    "an underscored count": (cell(1, "test_correct", "4_000"), "'4_000' is no number"),
    "a signed count": (cell(1, "test_correct", "+4000"), "'+4000' is no number"),
    "half an image in the history": (cell(1, "test_correct", "4000.5"), "invalid literal for int"),
    "a negative loss": (cell(1, "test_loss", "-1.5"), "epoch 1: a loss is negative"),
    "negative seconds of an epoch": (cell(1, "training_seconds", "-1.0"), "seconds are negative"),
    # Settings and data.
    "2 of 30 epochs": (settings(epochs=30), "2 of 30 epochs"),
    "no settings": (written(CONFIG, None), "run/config.json is unreadable: No such file"),
    "other settings": (put(CONFIG, 1, "seed"), "config.json and result.json disagree"),
    "another variant": (settings(variant="stable"), "not the settings of variant stable and"),
    "another network": (settings(network="bilstm"), "and network bilstm, but of document and lstm"),
    "a setting missing": (without(RESULT, "config", "seed"), "config lacks seed"),
    "a setting that came later missing": (without(RESULT, "config", "cell"), "config lacks cell"),
    "a setting more": (settings(momentum=0.9), "config has 'momentum', which is not known"),
    "an unknown choice": (settings(scan="spiral"), "scan is none of rows, columns"),
    "a setting out of range": (settings(context=29), "context is not from 1 to 28"),
    "true for a setting": (settings(layers=True), "'layers' is True, not int"),
    "NaN for a setting": (settings(epsilon=math.nan), "NaN is not a finite number"),
    "other data": (put(RESULT, OTHER_DATA, "data_sha256"), "data_sha256 is that of other data"),
    "a split of other data": (
        put(RESULT, "0" * 64, "data_sha256", "test"),
        "data_sha256 is that of other data",
    ),
    "no data": (put(RESULT, {}, "data_sha256"), "'data_sha256' lacks test"),
}

STUDY, RUN = "study.json", ("runs", 0)
FORGED_STUDIES: dict[str, tuple[Alter, str]] = {
    "no JSON": (written(STUDY, b"kept"), "Expecting value"),
    "deep": (written(STUDY, b'{"runs":' * 100_000), "nested too deeply"),
    "no runs": (put(STUDY, [], "runs"), "it holds no runs"),
    "runs missing": (without(STUDY, "runs"), "it lacks runs"),
    "NaN for a count": (put(STUDY, math.nan, *RUN, "epochs", 1, 2), "NaN is not a finite number"),
    "true for a count": (put(STUDY, True, *RUN, "epochs", 1, 2), "is True, not int"),
    "a float for a count": (put(STUDY, 9800.0, *RUN, "epochs", 1, 2), "is 9800.0, not int"),
    "below 0": (put(STUDY, -1, *RUN, "epochs", 1, 2), "epoch 2: -1 of 10000 test images"),
    "above the total": (put(STUDY, 10_001, *RUN, "epochs", 1, 2), "10001 of 10000 test images"),
    "a negative loss": (put(STUDY, -0.5, *RUN, "epochs", 1, 6), "epoch 2: a loss is negative"),
    "an epoch missing": (without(STUDY, *RUN, "epochs", 0), "1 of 2 epochs"),
    "no epochs": (put(STUDY, [], *RUN, "epochs"), "0 of 2 epochs"),
    "a column missing": (without(STUDY, *RUN, "epochs", 0, 6), "has 6 items, not 7"),
    "columns reordered": (
        edited(STUDY, lambda whole: whole["epoch_columns"].reverse()),
        "other columns or totals",
    ),
    "other totals": (put(STUDY, 100, "totals", "test"), "other columns or totals"),
    "other data": (put(STUDY, OTHER_DATA, *RUN, "data_sha256"), "is that of other data"),
    "another variant": (put(STUDY, "stable", *RUN, "config", "variant"), "variant stable"),
    "a key more": (put(STUDY, 1, *RUN, "accuracy"), "has 'accuracy', which is not known"),
    "a run twice": (
        edited(STUDY, lambda whole: whole["runs"].append(whole["runs"][0])),
        "run and run have the same settings and seed",
    ),
    "a name of two lines": (
        put(STUDY, "run: best epoch: fine\nrun", *RUN, "folder"),
        "folder or sha256 is none that a run has",
    ),
    "no digest": (put(STUDY, "", *RUN, "sha256"), "folder or sha256 is none that a run has"),
    "negative seconds": (put(STUDY, -1.0, *RUN, "seconds"), "seconds are negative"),
    "half a commit": (without(STUDY, *RUN, "git", "changed"), "'git' lacks changed"),
}


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
    refused(without_tensorflow(folder, "check", "run", REACHED), 3, message)


@pytest.mark.parametrize(("alter", "message"), FORGED_STUDIES.values(), ids=FORGED_STUDIES)
def test_forged_study_is_refused(folder: Path, alter: Alter, message: str) -> None:
    alter(folder)
    refused(without_tensorflow(folder, "check", "study.json", REACHED), 3, message)


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
    sound = command("check", "run", "--evaluate", REACHED)
    assert (sound.returncode, sound.stderr) == (0, "")
    # Files that agree with each other deceive who looks at them alone.
    true = records.read_folder(folder / "run").final.test.correct
    counted("test", 9_900)(folder)
    assert without_tensorflow(folder, "check", "run", "--min_test_accuracy=99").returncode == 0
    finished = command("check", "run", "--evaluate", "--min_test_accuracy=99")
    refused(finished, 3, f"run/best.keras classifies {true} of 10000 ")
    assert "test images correctly, not 9900 as the run's files say" in finished.stderr


@pytest.mark.parametrize(
    ("name", "alter", "message"),
    [
        ("run", written("run/final.keras", None), "run/final.keras is not a model of this project"),
        (
            "run",
            written("run/best.keras", model_files.SHIPPED.read_bytes()),
            "run/best.keras is not the network of its run's settings",
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


def test_steadier_epoch_is_judged() -> None:
    """By the committed studies, and unless the other one is asked for."""
    spread = statistics.stdev
    for variant in ("original", "document", "prose", "original_hidden", "stable"):
        runs = records.read([records.COMMITTED / f"{variant}.json"])
        best, final = (
            spread([getattr(run, epoch).test.percent for run in runs]) for epoch in gate.EPOCHS
        )
        steadier = "best" if best < final else "final"
        assert gate.Gate().judged(runs[0].config) == steadier
        assert gate.Gate(epoch="best").judged(runs[0].config) == "best"


def test_gate_fails_what_it_cannot_compare() -> None:
    strict = gate.Gate(min_train_accuracy=98.5, min_test_accuracy=98.27)
    assert strict.failures("run", "best", train=54_175, test=9_827) == []
    assert len(strict.failures("run", "best", train=54_174, test=9_826)) == 2
    assert (
        len(gate.Gate(min_test_accuracy=math.nan).failures("run", "best", train=0, test=9_900)) == 1
    )
    assert (
        len(gate.Gate(max_test_accuracy=math.nan).failures("run", "best", train=0, test=9_900)) == 1
    )
    (good,) = gate.Gate(max_test_accuracy=100.0).failures("run", "best", train=0, test=10_000)
    assert "too good to be true" in good
    assert gate.Gate().failures("run", "best", train=55_000, test=1_000) == []
