import dataclasses
import datetime
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Browser, Command

from lstm_mnist import config, data
from lstm_mnist.results import Epoch, Score
from lstm_mnist.studies import mistakes, records, reference, report, statistics, summary

WRITTEN = datetime.datetime(2026, 11, 24, 12, 30, tzinfo=datetime.UTC)
Visit = Callable[[Path], str]


def made_run(variant: str, seed: int, curve: Sequence[float]) -> records.Record:
    """A run with the given test accuracies in percent after each epoch."""
    return records.Record(
        config=config.Config(seed=seed),
        epochs=tuple(
            Epoch(
                number=number,
                training_loss=0.2,
                train=Score(round(550 * percent), 55_000, 0.1),
                validation=Score(round(50 * percent), 5_000, 0.1),
                test=Score(round(100 * percent), 10_000, 0.12),
            )
            for number, percent in enumerate(curve, 1)
        ),
        folder=f"{variant}-seed{seed}",
        sha256=f"{seed:064x}",
        seconds=12.0,
        arithmetic="compiled-1",
        versions={"python": "3.11.7", "tensorflow": "2.21.0"},
        device={"kind": "CPU", "name": "of the test", "cores": 2},
        data_sha256=data.SPLIT_SHA256,
        git=None,
    )


def made_groups(*variants: str) -> dict[str, list[records.Record]]:
    """Six runs of each variant, the last of which collapses."""
    curves = [[96.5, 98.31 + seed / 100, 98.0 + seed / 10] for seed in range(5)]
    return {
        variant: [
            made_run(variant, seed, curve) for seed, curve in enumerate([*curves, [96, 98.4, 50]])
        ]
        for variant in variants
    }


def made_mistakes() -> mistakes.Mistakes:
    """What a network confuses that takes some 4s for 9s."""
    confusion = np.diag(np.full(10, 980))
    confusion[4, 9] = 12
    image = np.linspace(0, 1, 784, dtype=np.float32).reshape(28, 28)
    return mistakes.Mistakes(
        confusion,
        tuple(mistakes.Mistake(number, image, 4, 9, 0.99876) for number in range(12)),
    )


def external(page: str) -> list[str]:
    """What a page would load or lead to besides its own parts."""
    addresses = re.findall(r"""(?:src|href|action|data)=["']?([^"'\s>]*)""", page)
    addresses += re.findall(r"url\(([^)]*)\)", page)
    return [address for address in addresses if not re.match(r"#|data:", address)] + re.findall(
        r"@import|<script|<iframe|<object", page
    )


@pytest.fixture
def visit(browser: Browser) -> Visit:
    """Opens a page in a browser, checks it at two widths and returns its text."""

    def open_page(path: Path) -> str:
        for width in (1280, 390):
            browser.resize(width)
            browser.driver.get(path.as_uri())
            window, page = browser.widths()
            assert page <= window == width
        assert browser.driver.get_log("browser") == []
        events = [
            json.loads(entry["message"])["message"]
            for entry in browser.driver.get_log("performance")
        ]
        requests = {
            event["params"]["requestId"]: event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
            and event["params"]["documentURL"] == path.as_uri()
        }
        assert path.as_uri() in requests.values()
        assert {url.partition(":")[0] for url in requests.values()} <= {"file", "data"}
        failed = [event for event in events if event["method"] == "Network.loadingFailed"]
        assert not [event for event in failed if event["params"]["requestId"] in requests]
        return str(browser.driver.execute_script("return document.body.innerText"))

    return open_page


def test_page_says_what_there_is_to_say() -> None:
    groups = made_groups("document", "original")
    page = report.page("Runs of the test", groups, made_mistakes(), WRITTEN)
    assert external(page) == []
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


def test_mistakes_of_a_network() -> None:
    class Network:
        """Sees every digit as it is but 7s, which it takes for 1s, the later the surer."""

        def predict_on_batch(self, images: Any) -> Any:
            return images[:, :10, 0] * 255

    labels = np.array([0, 7, 3, 7, 7], np.uint8)
    images = np.zeros((5, 28, 28), np.uint8)
    images[range(5), labels, 0] = 1
    images[[1, 3, 4], 1, 0] = 2, 3, 4
    found = mistakes.find(Network(), data.Split(images, labels), most=2)
    assert found.confusion.shape == (10, 10)
    assert found.confusion.sum() == 5
    assert found.confusion[7, 1] == found.count == 3
    assert [
        (mistake.position, mistake.label, mistake.predicted) for mistake in found.most_confident
    ] == [(4, 7, 1), (3, 7, 1)]
    probability = np.exp(4) / (np.exp(4) + np.exp(1) + 8)
    assert found.most_confident[0].probability == pytest.approx(probability)
    assert (found.most_confident[0].image == data.scale(images[4])).all()


def test_browser_shows_made_runs(visit: Visit, tmp_path: Path) -> None:
    groups = made_groups("document", "a_variant_with_a_very_long_name_of_one_word_" * 3)
    path = tmp_path / "page.html"
    page = report.page("Runs of the test", groups, made_mistakes(), WRITTEN)
    path.write_text(page, encoding="utf-8")
    assert "Most confidently wrong" in visit(path)


def test_reports_of_a_real_run(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setenv("HOME", "/proc/nonexistent")  # not even root can make it
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    finished = command("--epochs=1", "--output_dir=out")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.endswith("\nResults: out\nReport: out/report.html\n")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert external(page) == []
    run = records.read_folder(tmp_path / "out")
    # What the model file says of the test images is what the run counted.
    assert f"is wrong on\n{10_000 - run.best.test.correct} of 10,000 test images" in page
    assert page.count("taken for <strong>") == 12

    finished = command("compare", "--from=out", "--save=study.json", "--report=whole.html")
    assert (finished.returncode, finished.stderr) == (0, "")
    whole = (tmp_path / "whole.html").read_text(encoding="utf-8")
    assert f"is wrong on\n{10_000 - run.best.test.correct} of 10,000 test images" in whole

    finished = command("compare", "--from=study.json", "--report=figures.html")
    assert (finished.returncode, finished.stderr) == (0, "")
    figures = (tmp_path / "figures.html").read_text(encoding="utf-8")
    assert "The model of the best run, out, is not at hand" in figures

    browse = request.getfixturevalue("visit")
    assert "Most confidently wrong" in browse(tmp_path / "out" / "report.html")
    assert "not at hand" in browse(tmp_path / "figures.html")
