import ast
import contextlib
import dataclasses
import inspect
import json
import re
import shutil
from pathlib import Path

import matplotlib as mpl
import pytest
from helpers import Command, Trained
from made import made_groups, made_mistakes, made_pages, made_run

from lstm_mnist import config, data
from lstm_mnist.results import Score
from lstm_mnist.studies import protocol, records, reference, report, statistics, summary, text


def external(page: str) -> list[str]:
    """What a page would load or lead to besides its own parts."""
    addresses = re.findall(r"""(?:src|href|action|data)=["']?([^"'\s>]*)""", page)
    addresses += re.findall(r"url\(([^)]*)\)", page)
    return [address for address in addresses if not re.match(r"#|data:", address)] + re.findall(
        r"@import|<script|<iframe|<object", page
    )


def test_page_says_what_there_is_to_say() -> None:
    groups = made_groups("document", "original")
    page = made_pages(groups, made_mistakes())["en"]
    assert external(page) == ["report.zh.html", reference.DOCUMENT]  # links, which load nothing
    assert "2026-11-24 12:30:00+00:00" in page
    for name, group in groups.items():
        verdict = summary.summarise(name, group).verdict
        assert verdict
        assert verdict.comparison
        assert text.heading(verdict) in page
        assert text.explanation(verdict) in page
        assert text.not_excluded(verdict.comparison) in page
    assert page.count("2 of 6 runs end at the reported test accuracy of 98.27 % or above.") == 2
    # Exact intervals, of 1 of 6 and of 19 of 30 recorded runs.
    assert page.count("collapsed: 1 of 6, 17 % (0 to 64 %)") == 2
    assert page.count("collapsed: 19 of 30, 63 % (44 to 80 %)") == 1
    # The end of the collapsed run: on three splits in its row, and as the variant's least.
    assert page.count(">50.00<") == 2 * (3 + 1)
    assert page.count('class="collapsed">yes') == 2
    assert "99.876 %" in page
    assert "a 4 taken for a 9" in page
    for digest in data.SPLIT_SHA256.values():
        assert digest in page
    assert page.count('role="img"') == page.count("<svg ") == 2 + 1 + 12
    assert not re.search(r'role="img"(?! aria-label="\w)', page)
    for label in ("epoch", "test accuracy (%)", "final test accuracy (%)"):
        assert f">{label}</text>" in page
    identifiers = re.findall(r'\bid="([^"]*)"', page)
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r'(?:url\(|href=")#([^")]*)', page)) <= set(identifiers)


@pytest.mark.parametrize(
    ("train", "test", "answer"),
    [
        (98.6, 98.4, "Yes, both figures."),
        (98.6, 98.1, "One of the two figures is reached."),
        (97.0, 50.0, "No, neither figure."),
    ],
)
def test_page_of_one_run_says_first_what_was_asked(train: float, test: float, answer: str) -> None:
    run = made_run("stable", 0, [*[98.5] * 29, test])
    last = dataclasses.replace(run.final, train=Score(round(550 * train), 55_000, 0.1))
    settings = config.variant("stable")
    run = dataclasses.replace(run, config=settings, epochs=(*run.epochs[:-1], last))
    page = made_pages({"stable": [run]}, None)["en"]
    first = page.index("Is the reported accuracy reached?")
    assert first < page.index(answer) < page.index("Test accuracy after each epoch")
    assert f"<td>{test:.2f}</td>" in page[first:]
    place = summary.standing(run)
    assert place
    assert place.lower.total >= 20
    assert text.stands(place) in page
    assert "VERDICT" not in page
    assert ("below, but within the interval" in page) == (test == 98.1)
    assert ("The run has collapsed" in page) == (test == 50.0)


def test_a_run_of_the_study_stands_among_the_others() -> None:
    runs = records.read([records.COMMITTED / "stable.json"])
    place = summary.standing(runs[0])
    assert place
    assert place.lower.total == len(runs) - 1


def test_one_template_in_two_languages() -> None:
    """Every sentence of the page has its translation, with the same values in it."""
    template = (report.CHINESE.parent / "report.html").read_text(encoding="utf-8")
    said = {*re.findall(r'_\("((?:[^"\\]|\\.)*)"\)', template), *text.REASONS.values()}
    for module in (text, protocol, report):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("_", "Departure"):
                with contextlib.suppress(ValueError):  # not a sentence that is written there
                    said.add(ast.literal_eval(node.args[0]))
    said |= {"recorded original", *statistics.MEASURES}
    said |= {*summary.summarise("", made_groups("document")["document"]).accuracies}
    said |= {"run", "run that collapsed", "reported train", "reported test", "epoch"}
    said |= {"test accuracy (%)", "final test accuracy (%)", "variant and number of runs"}
    chinese = json.loads(report.CHINESE.read_text(encoding="utf-8"))
    assert {*chinese} == said
    for ours, theirs in chinese.items():
        braces = (sorted(re.findall(r"\{[^}]*\}", each)) for each in (ours, theirs))
        assert len({tuple(each) for each in braces}) == 1, ours
    english, translated = made_pages(made_groups("document"), made_mistakes()).values()
    assert external(translated) == ["report.html", reference.DOCUMENT]
    assert re.findall(r"\d+\.\d\d", english) == re.findall(r"\d+\.\d\d", translated)
    assert translated.startswith('<!DOCTYPE html>\n<html lang="zh-CN">')
    assert ">每个标记是一次运行" in translated
    assert ">测试准确率\uff08%\uff09</text>" in translated


def test_matplotlibrc_changes_nothing() -> None:
    with mpl.rc_context({"text.usetex": True, "axes.grid": True, "font.size": 3}):
        drawn = made_pages(made_groups("document"), None)
    assert drawn == made_pages(made_groups("document"), None)


def test_names_are_text() -> None:
    name = "<b>&$x_$"
    page = made_pages(made_groups(name), None)["en"]
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;$x_$" in page
    assert "The model of the best run, &lt;b&gt;&amp;$x_$-seed4, is not at hand" in page


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
    assert found.accuracies["mean of epochs 3 to 12"].maximum == pytest.approx(98.4)
    assert (found.collapses.count, found.falls.count, found.diverged) == (1, 1, 0)
    assert found.reached["test"].count == 2  # 98.3 and 98.4
    assert found.near.count == 0  # none of 98.41 to 98.61 % of the training images
    assert found.verdict == summary.judge(group)


def mistakes_of(run: records.Record) -> str:
    """Return how a report says what the run counted."""
    return f"is wrong on {10_000 - run.best.test.correct} of 10,000 test images"


def test_reports_of_a_real_run(epoch_run: Trained) -> None:
    name = epoch_run.folder.name
    assert epoch_run.output.endswith(f"\nResults: {name}\nReport: {name}/report.html\n")
    page = (epoch_run.folder / "report.html").read_text(encoding="utf-8")
    assert external(page) == ["report.zh.html", reference.DOCUMENT]
    # What the model file says of the test images is what the run counted.
    assert mistakes_of(records.read_folder(epoch_run.folder)) in page
    assert len(re.findall(r"\d taken for \d,", page)) == 12


@pytest.mark.slow
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
