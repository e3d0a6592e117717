"""The page to draw on, opened by a browser: at a desk and on a phone."""

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from browsing import Browser, Page
from helpers import started
from PIL import Image, ImageDraw
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.interaction import POINTER_MOUSE, POINTER_TOUCH
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = pytest.mark.xdist_group("browser")  # one browser, and one server


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with started(folder, folder, "serve", "--port=0") as process:
        assert process.stdout
        said = process.stdout.readline()
        found = re.fullmatch(
            r"Draw a digit at (http://127\.0\.0\.1:\d+) \(Ctrl-C ends this\)\n", said
        )
        assert found, said
        yield process, found[1]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of several tests."""
    with serving(tmp_path_factory.mktemp("serve")) as (_, address):
        yield address


@pytest.fixture
def drawn(browser: Browser, address: str, width: int, pointer: str) -> Page:
    """The page at a width, with a seven drawn and read."""
    page = Page(browser, address, width)
    assert page.text("answer") == "Draw a digit."
    assert not page.map("steps").any()
    page.draw(pointer=pointer)
    page.wait_for(r"After 28 rows: 7, \d+\.\d %")
    return page


DESK, PHONE = (1280, POINTER_MOUSE), (390, POINTER_TOUCH)


@pytest.mark.parametrize(("width", "pointer"), [DESK, PHONE])
def test_reading_is_shown_row_by_row(drawn: Page, browser: Browser, width: int) -> None:
    window, wide = browser.widths()
    assert wide <= window == width
    assert drawn.map("probabilities").shape == (28, 10)
    assert drawn.map("probabilities")[-1].argmax() == 7
    assert drawn.map("memory").shape == (28, 100)
    assert drawn.map("memory").max() == 255
    assert drawn.text("bars").count("%") == 10


@pytest.mark.parametrize(("width", "pointer"), [DESK])
def test_slider_shows_what_is_known_after_fewer_rows(drawn: Page) -> None:
    drawn.driver.execute_script(
        "const read = document.getElementById('read'); read.value = 10;"
        "read.dispatchEvent(new Event('input'))"
    )
    drawn.wait_for(r"After 10 rows: \d, ")


@pytest.mark.parametrize(("width", "pointer"), [PHONE])
def test_clear_takes_the_reading_away(drawn: Page) -> None:
    drawn.driver.find_element(By.ID, "clear").click()
    drawn.wait_for(r"Draw a digit\.")
    assert not drawn.map("memory").any()


def test_page_has_no_error_and_loads_nothing_from_elsewhere(browser: Browser, address: str) -> None:
    browser.driver.get_log("browser")  # of earlier pages
    page = Page(browser, address)
    page.draw()
    page.wait_for(r"After 28 rows: 7, ")
    assert page.driver.get_log("browser") == []
    loaded = page.driver.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert {urlsplit(name).netloc for name in loaded} == {urlsplit(address).netloc}


def test_end_of_the_server_is_told_to_whoever_draws_on(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as (process, address):
        page = Page(browser, address)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr
        assert process.stderr.read() == ""
    page.draw()
    page.wait_for("does not answer", "error")


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
