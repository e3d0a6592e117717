"""Forgeries of a run's folder `run` and of its study file, and what they are refused with.

Of two epochs the last is the best one. `python tests/studies/forgeries.py` writes the table of
docs/faults.md anew.
"""

import csv
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lstm_mnist.config import TOTALS

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
Alter = Callable[[Path], None]


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


def piped(name: str) -> Alter:
    """Put a named pipe in a file's place, which would be waited for for ever."""

    def alter(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

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


def moved(name: str, to: str) -> Alter:
    """Rename a file."""

    def alter(folder: Path) -> None:
        (folder / name).rename(folder / to)

    return alter


def diverged_of(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a run with this result would have left if it had diverged."""
    ends = ("final", "best_by_validation", "seconds")
    kept = {key: value for key, value in result.items() if key not in ends}
    return {**kept, "seconds": result["seconds"]["total"]}


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
    "a named pipe": (piped(RESULT), "it is not a regular file"),
    "a key twice": (
        replaced(RESULT, '"correct": ', '"correct": 9900, "correct": '),
        "duplicate key",
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
    "a named pipe for the history": (piped(HISTORY), "it is not a regular file"),
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
    "a count that no float holds": (
        cell(1, "test_correct", f"1{'0' * 400}"),
        "of 10000 test images",
    ),
    "an empty row": (history(lambda lines: [*lines, []]), "other columns"),
    "NaN in the history": (cell(1, "test_loss", "nan"), "'nan' is no number"),
    "infinity in the history": (cell(1, "test_loss", "inf"), "'inf' is no number"),
    "a spaced count": (cell(1, "test_correct", " 4000"), "' 4000' is no number"),
    "an underscored count": (cell(1, "test_correct", "4_000"), "'4_000' is no number"),
    "a signed count": (cell(1, "test_correct", "+4000"), "'+4000' is no number"),
    "half an image in the history": (cell(1, "test_correct", "4000.5"), "invalid literal for int"),
    "a negative loss": (cell(1, "test_loss", "-1.5"), "epoch 1: a loss is negative"),
    "negative seconds of an epoch": (cell(1, "training_seconds", "-1.0"), "seconds are negative"),
    # Runs that diverged.
    "a reason to have diverged beside a result": (
        written("run/diverged.json", b"{}"),
        "result.json and diverged.json are both there",
    ),
    "no reason to have diverged": (
        all_of(
            edited(RESULT, lambda whole: {**diverged_of(whole), "diverged": ""}),
            moved(RESULT, "run/diverged.json"),
        ),
        "why it has diverged is not told",
    ),
    "epochs before it diverged missing": (
        all_of(
            edited(
                RESULT,
                lambda whole: {
                    **diverged_of(whole),
                    "diverged": "seed 0 has diverged in epoch 2: a loss",
                },
            ),
            moved(RESULT, "run/diverged.json"),
            written(HISTORY, None),
        ),
        "0 epochs, where it says 'seed 0 has diverged in epoch 2",
    ),
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
    "no digest of the program": (
        put(STUDY, "x", *RUN, "program_sha256"),
        "program_sha256 is none that a run has",
    ),
    "negative seconds": (put(STUDY, -1.0, *RUN, "seconds"), "seconds are negative"),
    "half a commit": (without(STUDY, *RUN, "git", "changed"), "'git' lacks changed"),
}


def rendered(page: str) -> str:
    """Return a page in which the table of forgeries is what is said here."""
    rows = "".join(
        f"| {place} | {forged} | `{message}` |\n"
        for place, forgeries in (("run", FORGED_RUNS), ("study file", FORGED_STUDIES))
        for forged, (_, message) in forgeries.items()
    )
    head = "| in a | forged | refused, because |\n|---|---|---|\n"
    pattern = r"(<!-- Rendered by forgeries.py. -->\n).*?(<!-- End. -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{head}{rows}{found[2]}", page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
