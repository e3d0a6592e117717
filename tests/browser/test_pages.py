"""The pages, opened by Chromium without a window: at a desk and on a phone."""

import base64
import contextlib
import dataclasses
import http.client
import io
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from helpers import Trained, started
from made import made_groups, made_mistakes, made_pages
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.interaction import POINTER_TOUCH
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

Visit = Callable[[Path], str]

pytestmark = pytest.mark.xdist_group("browser")  # one browser, and one server
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


Server = tuple[subprocess.Popen[str], str]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    with started(folder, folder, "serve", "--port=0") as process:
        assert process.stdout
        said = process.stdout.readline()
        found = re.fullmatch(
            r"Draw a digit at (http://127\.0\.0\.1:\d+) \(Ctrl-C ends this\)\n", said
        )
        assert found, said
        yield process, found[1]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A started server, and its address."""
    with serving(tmp_path) as started_server:
        yield started_server


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of several tests."""
    with serving(tmp_path_factory.mktemp("serve")) as (_, address):
        yield address


class Page:
    """The page to draw on, opened anew."""

    def __init__(self, browser: Browser, address: str, width: int = 1280) -> None:
        self.driver = browser.driver
        browser.resize(width)
        self.driver.get(address)
        self.paper = self.driver.find_element(By.ID, "paper")

    def text(self, name: str) -> str:
        return str(self.driver.find_element(By.ID, name).text)

    def wait_for(self, pattern: str, name: str = "answer") -> None:
        WebDriverWait(self.driver, 60).until(lambda _: re.search(pattern, self.text(name)))

    def draw(self, strokes: Sequence[tuple[int, int]] = STROKES, *, up: bool = True) -> None:
        """Draw with the mouse: a place from the middle of the paper, then moves."""
        actions = ActionBuilder(self.driver, mouse=PointerInput("mouse", "mouse"))
        (x, y), *moves = strokes
        actions.pointer_action.move_to(self.paper, x, y).pointer_down()
        for dx, dy in moves:
            x, y = x + dx, y + dy
            actions.pointer_action.move_to(self.paper, x, y)
        if up:
            actions.pointer_action.pointer_up()
        actions.perform()

    def touch(self, kind: str, *fingers: tuple[float, float]) -> None:
        """Touch places from the upper left of the window, as the fingers 0, 1..."""
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(fingers)]
        event = {"type": kind, "touchPoints": points}
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", event)

    def ink(self) -> NDArray[np.bool_]:
        """Return where the paper is black, [560, 560]."""
        url = self.driver.execute_script("return document.getElementById('paper').toDataURL()")
        image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
        return np.asarray(image.convert("L")) < 128

    def place(self, name: str) -> dict[str, float]:
        """Return where an element is in the window."""
        found: dict[str, float] = self.driver.execute_script(
            "return document.getElementById(arguments[0]).getBoundingClientRect().toJSON()", name
        )
        return found


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


def test_browser_draws_and_sees_the_reading(server: Server, browser: Browser) -> None:
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


def test_selection_is_not_dragged_along(browser: Browser, address: str) -> None:
    page = Page(browser, address)
    page.draw()
    drawn = page.ink().sum()
    page.driver.get(address)
    page.paper = page.driver.find_element(By.ID, "paper")
    page.driver.execute_script("getSelection().selectAllChildren(document.body)")
    page.draw()
    page.wait_for(r"After 28 rows: 7, ")
    assert page.ink().sum() == drawn


def test_second_finger_draws_nothing(browser: Browser, address: str) -> None:
    page = Page(browser, address, width=390)
    place = page.place("paper")
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.touch("touchStart", (x - 60, y - 80))
    page.touch("touchMove", (x + 60, y - 80))
    palm = place["x"] + 30, place["bottom"] - 30
    page.touch("touchStart", (x + 60, y - 80), palm)
    page.touch("touchMove", (x + 40, y), (palm[0] + 60, palm[1] - 20))
    page.touch("touchMove", (x, y + 80), (palm[0] + 90, palm[1] - 10))
    page.touch("touchEnd")
    page.wait_for(r"After 28 rows: 7, ")
    ink = page.ink()
    assert ink[:400].any()
    assert not ink[460:, :200].any()


def test_tap_after_a_stroke_that_ends_in_motion(browser: Browser, address: str) -> None:
    page = Page(browser, address, width=390)
    place, clear = page.place("paper"), page.place("clear")
    button = clear["x"] + clear["width"] / 2, clear["y"] + clear["height"] / 2
    for _ in range(8):
        for step in range(10):
            at = place["x"] + 60 + 3 * step, place["y"] + 40 + 20 * step
            page.touch("touchMove" if step else "touchStart", at)
        page.touch("touchEnd")
        assert page.ink().any()
        page.touch("touchStart", button)
        page.touch("touchEnd")
        WebDriverWait(page.driver, 5).until(lambda _: not page.ink().any())


def test_no_answer_beside_another_drawing(browser: Browser, address: str) -> None:
    page = Page(browser, address)
    # What it does while no frames are drawn.
    page.driver.execute_script("HTMLCanvasElement.prototype.toBlob = () => {}")
    page.draw()
    page.wait_for(r"After 28 rows: 7, ")
    page.draw([(0, 0), (30, 30)], up=False)
    assert page.text("answer") == "Reading…"
    assert "%" not in page.text("bars")
    ActionBuilder(page.driver, mouse=PointerInput("mouse", "mouse")).clear_actions()
    page.wait_for(r"After 28 rows: \d, ")


def test_click_draws_a_dot(browser: Browser, address: str) -> None:
    page = Page(browser, address)
    page.draw([(0, 0)])
    rows, columns = (np.flatnonzero(page.ink().any(axis=axis)) for axis in (1, 0))
    assert abs(np.ptp(rows) - 44) <= 2
    assert abs(np.ptp(columns) - 44) <= 2
    page.wait_for(r"After 28 rows: \d, ")


def test_a_reading_is_announced_once(browser: Browser, address: str) -> None:
    page = Page(browser, address)
    page.driver.execute_script(
        "window.said = [];"
        "for (const live of document.querySelectorAll('[role=status], [aria-live], output'))"
        "  new MutationObserver(() => live.textContent && said.push(live.textContent))"
        "    .observe(live, {childList: true, characterData: true, subtree: true})"
    )
    page.draw()
    page.wait_for(r"After 28 rows: 7, ")
    (said,) = page.driver.execute_script("return window.said")
    assert said.startswith("After 28 rows: 7, ")


def test_keyboard_and_files(browser: Browser, address: str, tmp_path: Path) -> None:
    page = Page(browser, address)
    example = page.driver.find_element(By.ID, "example")
    example.send_keys(Keys.ENTER)
    page.wait_for(r"After 28 rows: 3, ")
    photo = Image.new("RGB", (1500, 900), (200, 190, 170))
    ImageDraw.Draw(photo).line([(300, 250), (500, 250), (380, 600)], fill=(30, 30, 60), width=30)
    photo.save(tmp_path / "photo.jpg")
    page.driver.find_element(By.ID, "file").send_keys(str(tmp_path / "photo.jpg"))
    page.wait_for(r"After 28 rows: 7, ")
    (tmp_path / "text.png").write_text("no picture")
    page.driver.find_element(By.ID, "file").send_keys(str(tmp_path / "text.png"))
    page.wait_for("cannot open", "error")


def test_undo_takes_back_a_stroke_and_clear(browser: Browser, address: str) -> None:
    page = Page(browser, address)
    undo = page.driver.find_element(By.ID, "undo")
    assert not undo.is_enabled()
    page.draw()
    seven = page.ink()
    page.draw([(-60, 10), (60, -10)])
    assert page.ink().sum() > seven.sum()
    undo.click()
    np.testing.assert_array_equal(page.ink(), seven)
    page.driver.find_element(By.ID, "clear").click()
    assert not page.ink().any()
    assert page.text("answer") == "Draw a digit."
    undo.click()
    np.testing.assert_array_equal(page.ink(), seven)
    page.wait_for(r"After 28 rows: 7, ")
    undo.click()
    assert not page.ink().any()
    assert not undo.is_enabled()


def test_server_that_hangs_is_told(browser: Browser, address: str) -> None:
    page = Page(browser, address)
    page.driver.execute_script(
        "AbortSignal.timeout = () => AbortSignal.abort(new DOMException('', 'TimeoutError'))"
    )
    page.draw()
    page.wait_for("has not answered", "error")


def test_page_before_anything_is_drawn(browser: Browser, address: str) -> None:
    for width in (1280, 390):
        page = Page(browser, address, width)
        assert "28" not in page.text("slider")
        assert not page.driver.find_element(By.ID, "slider").is_displayed()
        assert not page.driver.find_element(By.ID, "scale").is_displayed()
        # The answer stands under the paper, above the maps where they are below.
        assert page.place("answer")["y"] > page.place("paper")["bottom"]
        if width == 390:
            assert page.place("answer")["bottom"] < page.place("maps")["y"]


def test_page_in_chinese(browser: Browser, address: str) -> None:
    for width in (1280, 390):
        page = Page(browser, f"{address}/?lang=zh", width)
        assert page.text("answer") == "请写一个数字。"
        assert page.text("clear") == "清除"
        page.driver.find_element(By.ID, "example").click()
        page.wait_for(r"读完 28 行：3，\d+\.\d %")
        window, wide = browser.widths()
        assert wide <= window == width


def test_doubt_stands_beside_the_answer(browser: Browser, address: str) -> None:
    page = Page(browser, address)
    page.draw([(-100, -80), (0, 160)])
    page.draw([(60, -80), (60, 0), (-40, 160)])
    page.wait_for("more than one figure", "doubt")
    page.wait_for(r"After 28 rows: \d, ")
    page.driver.find_element(By.ID, "clear").click()
    assert not page.driver.find_element(By.ID, "doubt").is_displayed()
