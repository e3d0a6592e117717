"""The pages, opened by Chromium without a window: at a desk and on a phone."""

import base64
import dataclasses
import http.client
import io
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from helpers import Trained, started
from made import made_groups, made_mistakes, made_pages
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.interaction import POINTER_TOUCH
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

Visit = Callable[[Path], str]

BROWSER_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


# A seven, from the middle of the paper.
STROKES = [(-70, -100), (140, 0), (-60, 100), (-25, 100)]


@dataclasses.dataclass(frozen=True)
class Browser:
    """Chromium without a window."""

    driver: Any

    def resize(self, width: int) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )

    def widths(self) -> tuple[int, int]:
        """Return the widths of the window and of the page, which is wider if it has to scroll."""
        window, page = self.driver.execute_script(
            "return [window.innerWidth, document.documentElement.scrollWidth]"
        )
        return window, page


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    driver_path = shutil.which("chromedriver")
    if not (shutil.which("chromium") and driver_path):
        pytest.skip("there is no chromium or no chromedriver: no browser opens the pages")
    options = webdriver.ChromeOptions()
    for flag in (*BROWSER_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(driver_path))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A started server, and its address."""
    with started(tmp_path, tmp_path, "serve", "--port=0") as process:
        assert process.stdout
        said = process.stdout.readline()
        found = re.fullmatch(
            r"Draw a digit at (http://127\.0\.0\.1:\d+) \(Ctrl-C ends this\)\n", said
        )
        assert found, said
        yield process, found[1]


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


def test_browser_draws_and_sees_the_reading(
    server: tuple[subprocess.Popen[str], str], browser: Browser
) -> None:
    process, address = server
    driver = browser.driver

    def text(name: str) -> str:
        return str(driver.find_element(By.ID, name).text)

    def wait_for(pattern: str) -> None:
        WebDriverWait(driver, 30).until(lambda _: re.search(pattern, text("answer")))

    def opacity(name: str) -> Any:
        """Return how opaque the pixels of a picture on the page are, [H, W] in 0..255."""
        url = driver.execute_script(
            "return document.getElementById(arguments[0]).toDataURL()", name
        )
        image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
        return np.asarray(image.getchannel("A"))

    def draw(pointer: PointerInput) -> None:
        paper = driver.find_element(By.ID, "paper")
        scale = paper.size["width"] / 320
        actions = ActionBuilder(driver, mouse=pointer)
        (x, y), *moves = [(round(x * scale), round(y * scale)) for x, y in STROKES]
        actions.pointer_action.move_to(paper, x, y).pointer_down()
        for dx, dy in moves:
            x, y = x + dx, y + dy
            actions.pointer_action.move_to(paper, x, y)
        actions.pointer_action.pointer_up()
        actions.perform()

    for width, pointer in (
        (1280, PointerInput("mouse", "mouse")),
        (390, PointerInput(POINTER_TOUCH, "finger")),
    ):
        browser.resize(width)
        driver.get(address)
        assert text("answer") == "Draw a digit."
        assert not opacity("steps").any()
        draw(pointer)
        wait_for(r"After 28 rows: 7, \d+\.\d %")
        window, page = browser.widths()
        assert page <= window == width
        assert opacity("probabilities").shape == (28, 10)
        assert opacity("probabilities")[-1].argmax() == 7
        assert opacity("memory").shape == (28, 100)
        assert opacity("memory").max() == 255
        assert text("bars").count("%") == 10
        # After ten rows, no more is known than what they show.
        driver.execute_script(
            "const read = document.getElementById('read'); read.value = 10;"
            "read.dispatchEvent(new Event('input'))"
        )
        wait_for(r"After 10 rows: \d, ")
        driver.find_element(By.ID, "clear").click()
        wait_for(r"Draw a digit\.")
        assert not opacity("memory").any()
    # The page had no error, and loads nothing from elsewhere.
    assert driver.get_log("browser") == []
    loaded = driver.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert {urlsplit(name).netloc for name in loaded} == {urlsplit(address).netloc}

    # A body that is too large is refused before it is read.
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.putrequest("POST", "/reading")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()

    # The end of the server is reported to whoever draws on.
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert process.stderr
    assert process.stderr.read() == ""
    draw(PointerInput("mouse", "mouse"))
    WebDriverWait(driver, 30).until(lambda _: "does not answer" in text("error"))
    driver.get_log("browser")  # in which the failed request stands
