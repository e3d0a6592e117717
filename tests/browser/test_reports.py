"""The reports of runs, opened by a browser: at a desk and on a phone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from browsing import Browser
from helpers import Trained
from made import made_groups, made_mistakes, made_pages

Visit = Callable[[Path], str]

pytestmark = pytest.mark.xdist_group("browser")  # one after the other


@pytest.fixture
def visit(browser: Browser) -> Visit:
    """Opens a page in a browser, checks it at two widths and returns its text."""

    def open_page(path: Path) -> str:
        browser.driver.get_log("browser")  # of earlier pages
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


@pytest.mark.parametrize(("language", "said"), [("en", "Most confidently"), ("zh", "错得最有")])
def test_browser_shows_made_runs(visit: Visit, tmp_path: Path, language: str, said: str) -> None:
    groups = made_groups("document", "a_variant_with_a_very_long_name_of_one_word_" * 3)
    path = tmp_path / "page.html"
    path.write_text(made_pages(groups, made_mistakes())[language], encoding="utf-8")
    assert said in visit(path)


def test_browser_shows_figures_without_a_model(visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(made_pages(made_groups("document"), None)["en"], encoding="utf-8")
    assert "is not at hand: only its figures are." in visit(path)


def test_browser_shows_a_real_run(epoch_run: Trained, visit: Visit) -> None:
    assert "Most confidently wrong" in visit(epoch_run.folder / "report.html")
