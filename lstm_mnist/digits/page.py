"""The page on which one draws a digit and sees a network read it, as a WSGI application."""

import io
import ipaddress
import socket
from collections.abc import Collection
from typing import Any
from urllib.parse import SplitResult, urlsplit

import flask
import keras
import numpy as np
from werkzeug.exceptions import Forbidden, HTTPException

from lstm_mnist.digits import preprocessing, reading, words
from lstm_mnist.system.errors import PictureError

# The page's drawings have some 10 kB, and 0.3 million pixels.
MAX_BYTES, MAX_PIXELS = 2**21, 2**21
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; img-src data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
}


def application(network: keras.Model, host: str = "127.0.0.1") -> flask.Flask:
    """Build the application around a network. Raises UsageError; see `reading.Reader`.

    GET / is the page. POST /reading takes a PNG file and answers with a `reading.Reading` and
    a `doubt` (see `preprocessing.Digit`) as JSON, or with an `error`. Requests must call
    this machine by one of its names, among them `host`, where the page is served.
    """
    reader = reading.Reader(network)
    names = {"localhost", socket.gethostname().lower(), host.lower()}
    app = flask.Flask("lstm_mnist")  # whose folder holds the templates
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES

    @app.before_request
    def refuse_others() -> None:
        _check_names(flask.request.host, flask.request.headers.get("Origin"), names)

    @app.get("/")
    def page() -> str:
        language = _language()
        said = words.of(language, reader.parts.scan, reader.parts.cell, reader.units)
        other = next(name for name in words.WORDS if name != language)
        return flask.render_template(
            "drawing.html", language=language, other=other, words=said, units=reader.units
        )

    @app.post("/reading")
    def answer() -> dict[str, Any]:
        picture = io.BytesIO(flask.request.get_data())
        # What the page sends; a few bytes of other formats may take long to decode.
        digit, *_ = preprocessing.digits(picture, MAX_PIXELS, formats=["PNG"])
        found = {
            name: np.round(values.astype(float), 4).tolist()
            for name, values in reader.read(digit.image)._asdict().items()
        }
        return {**found, "doubt": digit.doubt}

    @app.after_request
    def protect(response: flask.Response) -> flask.Response:
        response.headers.update(HEADERS)
        return response

    @app.errorhandler(PictureError)
    def refuse(error: PictureError) -> tuple[dict[str, str], int]:
        return {"error": f"The picture {error}."}, 400

    @app.errorhandler(HTTPException)
    def fail(error: HTTPException) -> tuple[dict[str, str | None], int]:
        return {"error": error.description}, error.code or 500

    return app


def _check_names(host: str, origin: str | None, names: Collection[str]) -> None:
    """Refuse what other pages make a visitor's browser send. Raises Forbidden.

    A foreign page can post here, but the browser then names that page as the origin. A page whose
    own name leads to this machine would have the same origin: hence only this machine's names are
    allowed, and numeric addresses, which involve no name.
    """
    name = (_parsed(f"//{host}").hostname or "").lower()
    if name not in names and not _is_address(name):
        raise Forbidden(f"This page is not served as {host}: open it by its address.")
    if origin is not None and _parsed(origin).netloc != host:
        raise Forbidden(f"Pages of {origin} may not ask here.")


def _parsed(url: str) -> SplitResult:
    """Return the parts of a URL, which are empty if it is malformed."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _language() -> str:
    """Return the page's language: that of ?lang=, else the browser's, else English."""
    asked = flask.request.args.get("lang")
    if asked in words.WORDS:
        return asked
    return flask.request.accept_languages.best_match(list(words.WORDS)) or "en"
