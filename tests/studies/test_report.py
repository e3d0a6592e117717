import dataclasses
import re
import shutil
from pathlib import Path

import pytest
from helpers import Command, Trained
from made import WRITTEN, made_groups, made_mistakes

from lstm_mnist import data
from lstm_mnist.studies import records, reference, report, statistics, summary


def external(page: str) -> list[str]:
    """What a page would load or lead to besides its own parts."""
    addresses = re.findall(r"""(?:src|href|action|data)=["']?([^"'\s>]*)""", page)
    addresses += re.findall(r"url\(([^)]*)\)", page)
    return [address for address in addresses if not re.match(r"#|data:", address)] + re.findall(
        r"@import|<script|<iframe|<object", page
    )


def test_page_says_what_there_is_to_say() -> None:
    groups = made_groups("document", "original")
    page = report.page("Runs of the test", groups, made_mistakes(), WRITTEN)
    assert external(page) == [reference.DOCUMENT]  # a link, which loads nothing
    assert "2026-11-24 12:30:00+00:00" in page
    for group in groups.values():
        curves = [run.test_curve for run in group]
        verdict = statistics.judge(curves, reference.recorded_test_curves())
        assert verdict.word in page
        assert verdict.explanation in page
    assert "6 runs, 1 collapsed:\n" in page
    assert "17 % (0 to 64 %)" in page  # exact, 1 of 6
    assert "55 % (23 to 83 %)" in page  # exact, 6 of 11: the recorded runs
    # The end of the collapsed run: on three splits in its row, and as the variant's least.
    assert page.count(">50.00<") == 2 * (3 + 1)
    assert page.count('class="collapsed">yes') == 2
    assert 'class="word ' in page
    assert "99.876 %" in page
    assert "a 4\ntaken for a 9" in page
    for digest in data.SPLIT_SHA256.values():
        assert digest in page
    assert page.count('role="img"') == page.count("<svg ") == 2 + 1 + 12
    assert not re.search(r'role="img"(?! aria-label="\w)', page)
    for label in ("epoch", "test accuracy (%)", "final test accuracy (%)"):
        assert f">{label}</text>" in page
    identifiers = re.findall(r'\bid="([^"]*)"', page)
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r'(?:url\(|href=")#([^")]*)', page)) <= set(identifiers)


def test_names_are_text() -> None:
    name = "<b>&$x_$"
    page = report.page("<script>", made_groups(name), "No <model>.", WRITTEN)
    assert "<b>" not in page
    assert "<script>" not in page
    assert "&lt;b&gt;&amp;$x_$" in page
    assert "<p>No &lt;model&gt;.</p>" in page


def test_settings_that_differ_are_told() -> None:
    groups = made_groups("document", "original")
    groups["original"] = [
        dataclasses.replace(run, config=dataclasses.replace(run.config, epsilon=1e-7))
        for run in groups["original"]
    ]
    assert report.differing_settings(groups) == {
        "document": {"epsilon": 1e-8},
        "original": {"epsilon": 1e-7},
    }


def test_summary_of_a_group() -> None:
    (group,) = made_groups("document").values()
    found = summary.summarise("document", group)
    assert found.accuracies["final"].minimum == 50
    assert found.accuracies["best on held out"].minimum == pytest.approx(98.31)
    assert found.collapses.count == 1
    assert found.reached["test"].count == 2  # 98.3 and 98.4
    assert found.verdict == statistics.judge(
        [run.test_curve for run in group], reference.recorded_test_curves()
    )


def mistakes_of(run: records.Record) -> str:
    """Return how a report says what the run counted."""
    return f"is wrong on\n{10_000 - run.best.test.correct} of 10,000 test images"


def test_report_of_a_real_run(epoch_run: Trained) -> None:
    name = epoch_run.folder.name
    assert epoch_run.output.endswith(f"\nResults: {name}\nReport: {name}/report.html\n")
    page = (epoch_run.folder / "report.html").read_text(encoding="utf-8")
    assert external(page) == [reference.DOCUMENT]
    # What the model file says of the test images is what the run counted.
    assert mistakes_of(records.read_folder(epoch_run.folder)) in page
    assert page.count("taken for <strong>") == 12


def test_reports_of_a_real_study(epoch_run: Trained, command: Command, tmp_path: Path) -> None:
    shutil.copytree(epoch_run.folder, tmp_path / "out")
    finished = command("compare", "--from=out", "--save=study.json", "--report=whole.html")
    assert (finished.returncode, finished.stderr) == (0, "")
    whole = (tmp_path / "whole.html").read_text(encoding="utf-8")
    assert mistakes_of(records.read_folder(tmp_path / "out")) in whole

    finished = command("compare", "--from=study.json", "--report=figures.html")
    assert (finished.returncode, finished.stderr) == (0, "")
    figures = (tmp_path / "figures.html").read_text(encoding="utf-8")
    assert "The model of the best run, out, is not at hand" in figures
