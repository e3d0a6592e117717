import base64
import http.client
import io
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from conftest import Browser, started
from PIL import Image, ImageDraw
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.interaction import POINTER_TOUCH
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from lstm_mnist import config, networks, training
from lstm_mnist.digits import page, preprocessing, reading
from lstm_mnist.runs import model_files
from lstm_mnist.system.errors import UsageError

# A seven, from the middle of the paper.
STROKES = [(-70, -100), (140, 0), (-60, 100), (-25, 100)]


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


def drawing() -> bytes:
    """Return a PNG file of a seven."""
    image = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(image).line([(60, 40), (140, 40), (90, 160)], fill=0, width=14)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "settings",
    [
        config.variant("original", units=5),
        config.variant("prose", units=5),
        config.Config(cell="rnn", units=5),
    ],
    ids=lambda settings: f"{settings.variant} {settings.cell}",
)
def test_reading_after_each_step(settings: config.Config) -> None:
    network = model_files.portable(networks.build(settings).get_weights(), settings)
    image = np.random.default_rng(1).uniform(size=(28, 28)).astype(np.float32)
    steps = image if settings.scan == "rows" else image.T
    found = reading.Reader(network).read(image)
    np.testing.assert_array_equal(found.steps, steps)
    assert found.probabilities.shape == (28, 10)
    assert found.memory.shape == (28, 5)
    # Keras' layer keeps its state at the steps that are masked.
    layer, classifier = network.get_layer(settings.cell), network.get_layer("logits")
    _, *states = layer(np.broadcast_to(steps, (28, 28, 28)), mask=np.tri(28, dtype=bool))
    logits = classifier(states[0 if settings.readout == "hidden" else -1])
    expected = training.probabilities(np.asarray(logits))
    np.testing.assert_allclose(found.memory, states[-1], atol=1e-6)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(
        training.probabilities(training.predict(network, image[np.newaxis]))[0],
        expected[-1],
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "settings",
    [config.Config(bidirectional=True), config.Config(layers=2), config.Config(context=14)],
)
def test_networks_that_cannot_be_followed(settings: config.Config) -> None:
    network = model_files.portable(networks.build(settings).get_weights(), settings)
    with pytest.raises(UsageError, match="one recurrent layer"):
        reading.Reader(network)


def test_answers() -> None:
    client = page.application(model_files.load(model_files.SHIPPED)).test_client()
    answer = client.post("/reading", data=drawing())
    assert answer.status_code == 200
    found = {name: np.array(values) for name, values in answer.get_json().items()}
    assert found["probabilities"][-1].argmax() == 7
    assert found["memory"].shape == (28, 100)
    expected = preprocessing.read(io.BytesIO(drawing()))
    np.testing.assert_allclose(found["steps"], expected, atol=1e-4)
    for body, status, error in (
        (b"", 400, "The picture is not a PNG, JPEG or GIF picture."),
        (drawing()[:99], 400, "The picture cannot be read: image file is truncated"),
        (bytes(page.MAX_BYTES + 1), 413, "exceeds the capacity limit"),
    ):
        answer = client.post("/reading", data=body)
        assert answer.status_code == status
        assert error in answer.get_json()["error"]
    assert client.get("/reading").status_code == 405
    assert client.get("/nothing").status_code == 404


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
