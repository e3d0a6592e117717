import contextlib
import io
import json
import signal
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import keras
import numpy as np
import pytest
from helpers import ROOT, environment, running
from PIL import Image, ImageDraw

from lstm_mnist import config, networks, training
from lstm_mnist.digits import page, preprocessing, reading, server, words
from lstm_mnist.runs import model_files
from lstm_mnist.system.errors import UsageError


def drawing(kind: str = "PNG") -> bytes:
    """Return a picture file of a seven."""
    image = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(image).line([(60, 40), (140, 40), (90, 160)], fill=0, width=14)
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def test_network_that_cannot_be_followed_is_refused() -> None:
    images = keras.Input((28, 28))
    _, state, _ = keras.layers.LSTM(3, return_state=True)(images)
    between = keras.layers.Dense(16)(state)
    network = keras.Model(images, keras.layers.Dense(10)(between))
    with pytest.raises(UsageError, match="of a dense layer that reads its last state"):
        reading.Reader(network)


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


@pytest.fixture(scope="module")
def application() -> flask.Flask:
    return page.application(model_files.load(model_files.SHIPPED))


def test_answers(application: flask.Flask) -> None:
    client = application.test_client()
    answer = client.post("/reading", data=drawing())
    assert answer.status_code == 200
    found = answer.get_json()
    assert found.pop("doubt") is None
    found = {name: np.array(values) for name, values in found.items()}
    assert found["probabilities"][-1].argmax() == 7
    assert found["memory"].shape == (28, 100)
    expected = preprocessing.digits(io.BytesIO(drawing()))[0].image
    np.testing.assert_allclose(found["steps"], expected, atol=1e-4)
    for body, status, error in (
        (b"", 400, "The picture is not a PNG picture"),
        (drawing("JPEG"), 400, "The picture is not a PNG picture"),
        (drawing()[:99], 400, "The picture cannot be read: image file is truncated"),
        (tall(), 400, "The picture has 1 x 89000000 pixels: make it smaller"),
        (bytes(page.MAX_BYTES + 1), 413, "exceeds the capacity limit"),
    ):
        answer = client.post("/reading", data=body)
        assert answer.status_code == status
        assert error in answer.get_json()["error"]
    assert client.get("/reading").status_code == 405
    assert client.get("/nothing").status_code == 404
    assert "error" in client.get("/nothing").get_json()


def tall() -> bytes:
    """Return a PNG file of some bytes that says it has 89 million pixels."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    content = bytearray(file.getvalue())
    header = b"IHDR" + struct.pack(">II", 1, 89_000_000) + content[24:29]
    content[12:33] = header + struct.pack(">I", zlib.crc32(header))
    return bytes(content)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8000"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": socket.gethostname()}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 200),
        ({"Host": "elsewhere.example"}, 403),
        ({"Host": "localhost.elsewhere.example:8000"}, 403),
        ({"Host": "127.0.0.1:8000", "Origin": "https://elsewhere.example"}, 403),
        ({"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:9000"}, 403),
        ({"Host": "127.0.0.1:8000", "Origin": "null"}, 403),
        ({"Host": "127.0.0.1:8000", "Origin": "http://[::1"}, 403),
    ],
)
def test_other_sites_are_refused(
    application: flask.Flask, headers: dict[str, str], status: int
) -> None:
    answer = application.test_client().post("/reading", data=drawing(), headers=headers)
    assert answer.status_code == status
    assert ("error" in answer.get_json()) == (status != 200)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("query", "accepted", "language", "heading"),
    [
        ("", "de, en;q=0.5", "en", "An LSTM reads your digit"),
        ("", "", "en", "An LSTM reads your digit"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh", "LSTM 读你写的数字"),
        ("?lang=zh", "en", "zh", "LSTM 读你写的数字"),
        ("?lang=en", "zh-CN", "en", "An LSTM reads your digit"),
        ("?lang=xx", "zh", "zh", "LSTM 读你写的数字"),
    ],
)
def test_language_of_the_page(
    application: flask.Flask, query: str, accepted: str, language: str, heading: str
) -> None:
    client = application.test_client()
    text = client.get(f"/{query}", headers={"Accept-Language": accepted}).get_data(as_text=True)
    assert f'<html lang="{language}">' in text
    assert f"<h1>{heading}</h1>" in text


def test_languages_say_the_same() -> None:
    english, chinese = (words.of(name, "rows", "lstm", 100) for name in ("en", "zh"))
    assert list(english) == list(chinese)
    for name, text in english.items():
        assert text.count("{}") == chinese[name].count("{}"), name


@contextlib.contextmanager
def serving(timeout: float) -> Iterator[tuple[str, int]]:
    """Serve without a network, and yield the address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    made = server.create(application, listener, max_bytes=100, timeout=timeout)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        made.close()


@pytest.fixture
def served() -> Iterator[tuple[str, int]]:
    """The address of a server whose time-out is short."""
    with serving(timeout=1) as address:
        yield address


def ask(address: tuple[str, int], request: bytes) -> str:
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def ended(connection: socket.socket) -> bool:
    """Send a byte, and return whether the server has closed the connection."""
    try:
        connection.sendall(b"x")
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


ASKED = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def test_half_open_connections_lock_nobody_out() -> None:
    with serving(timeout=60) as address, contextlib.ExitStack() as stack:  # none of them ends
        for _ in range(150):
            connection = stack.enter_context(socket.create_connection(address, timeout=30))
            connection.sendall(ASKED[:20])
        assert ask(address, ASKED).startswith("HTTP/1.1 200")


def test_trickle_of_bytes_does_not_keep_a_connection(served: tuple[str, int]) -> None:
    with socket.create_connection(served, timeout=0.2) as connection:
        connection.sendall(ASKED[:20])
        deadline = time.monotonic() + 20
        while not ended(connection):
            assert time.monotonic() < deadline
    assert ask(served, ASKED).startswith("HTTP/1.1 200")


ANSWERING = """
import socket, time
from lstm_mnist.digits import server
from lstm_mnist.system import signals
def application(environ, start_response):
    print("asked", flush=True)
    time.sleep(1)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
signals.install()
with signals.raising():
    server.create(application, listener, max_bytes=100).run()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_answer_under_way_is_finished(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-c", ANSWERING]
    with running(command, ROOT, environment(tmp_path)) as process:
        assert process.stdout
        address = "127.0.0.1", int(process.stdout.readline())
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(ASKED)
            assert process.stdout.readline() == "asked\n"
            process.send_signal(number)
            assert b"".join(iter(lambda: connection.recv(4096), b"")).endswith(b"ok")
        assert process.wait(60) == 0


def test_limits_are_those_of_the_page() -> None:
    assert (server.TIMEOUT, page.MAX_BYTES) == (15, 2**21)


@pytest.mark.slow
def test_idle_time_is_not_that_of_the_next_request() -> None:
    with (
        serving(timeout=8) as address,
        socket.create_connection(address, timeout=30) as connection,
    ):
        connection.sendall(ASKED.replace(b"Connection: close\r\n", b""))
        answer = b""
        while not answer.endswith(b"ok"):
            answer += connection.recv(4096)
        time.sleep(5)
        connection.sendall(ASKED[:20])
        time.sleep(5)
        connection.sendall(ASKED[20:])
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * (2**15 - 19), 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: odd\r\n\r\n", 501),
        (b"GET http://[ HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n", 400),
    ],
)
def test_refusals_of_the_server_itself_are_json(
    served: tuple[str, int], request_: bytes, status: int
) -> None:
    head, _, body = ask(served, request_).partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ") or head.startswith(f"HTTP/1.0 {status} ")
    assert "Content-Type: application/json" in head
    assert list(json.loads(body)) == ["error"]
