"""The page on which one draws a digit and sees a network read it, as a WSGI application."""

import io
from typing import Any

import flask
import keras
import numpy as np
from werkzeug.exceptions import HTTPException

from lstm_mnist.digits import preprocessing, reading
from lstm_mnist.system.errors import PictureError

# A drawing of the page has some 10 kB.
MAX_BYTES = 2**20


def application(network: keras.Model) -> flask.Flask:
    """Build the application around a network. Raises UsageError; see `reading.Reader`.

    GET / is the page. POST /reading takes a picture file and answers with a `reading.Reading` as
    JSON, or with an `error`.
    """
    reader = reading.Reader(network)
    words = {
        "step": reader.parts.scan.removesuffix("s"),
        "units": reader.units,
        "memory": {"lstm": "cell state c", "rnn": "state s"}[reader.parts.cell],
    }
    app = flask.Flask("lstm_mnist")  # whose folder holds the templates
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES

    @app.get("/")
    def page() -> str:
        return flask.render_template("drawing.html", **words)

    @app.post("/reading")
    def answer() -> dict[str, Any]:
        image = preprocessing.read(io.BytesIO(flask.request.get_data()))
        return {
            name: np.round(values.astype(float), 4).tolist()
            for name, values in reader.read(image)._asdict().items()
        }

    @app.errorhandler(PictureError)
    def refuse(error: PictureError) -> tuple[dict[str, str], int]:
        return {"error": f"The picture {error}."}, 400

    @app.errorhandler(HTTPException)
    def fail(error: HTTPException) -> tuple[dict[str, str | None], int]:
        return {"error": error.description}, error.code or 500

    return app
