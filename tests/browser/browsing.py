"""Chromium without a window, and the page to draw on."""

import base64
import contextlib
import dataclasses
import io
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.interaction import POINTER_MOUSE
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

# A seven, from the middle of the paper.
STROKES = [(-70, -100), (140, 0), (-60, 100), (-25, 100)]
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


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Browser]:
    """Open a browser that keeps its files in a folder."""
    driver_path = shutil.which("chromedriver")
    if not (shutil.which("chromium") and driver_path):
        pytest.skip("there is no chromium or no chromedriver: no browser opens the pages")
    options = webdriver.ChromeOptions()
    for flag in (*BROWSER_FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(driver_path))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


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

    def draw(
        self,
        strokes: Sequence[tuple[int, int]] = STROKES,
        *,
        pointer: str = POINTER_MOUSE,
        up: bool = True,
    ) -> None:
        """Draw with a mouse or a finger: a place from the middle of the paper, then moves."""
        actions = ActionBuilder(self.driver, mouse=PointerInput(pointer, pointer))
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

    def picture(self, name: str) -> Image.Image:
        """Return what a canvas shows."""
        url = self.driver.execute_script(
            "return document.getElementById(arguments[0]).toDataURL()", name
        )
        return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))

    def ink(self) -> NDArray[np.bool_]:
        """Return where the paper is black, [560, 560]."""
        return np.asarray(self.picture("paper").convert("L")) < 128

    def map(self, name: str) -> NDArray[np.uint8]:
        """Return how opaque each cell of a map is, [rows, cells]."""
        return np.asarray(self.picture(name).getchannel("A"))

    def place(self, name: str) -> dict[str, float]:
        """Return where an element is in the window."""
        found: dict[str, float] = self.driver.execute_script(
            "return document.getElementById(arguments[0]).getBoundingClientRect().toJSON()", name
        )
        return found
