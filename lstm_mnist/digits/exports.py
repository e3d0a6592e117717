"""Writing a network for other programs, by Keras' own exporters.

An exported network takes images [B, 28, 28] in [0, 1] and returns logits [B, 10], as ours do.
"""

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lstm_mnist.config import FEATURES, STEPS
from lstm_mnist.system import files
from lstm_mnist.system.errors import OutputError

KERAS_FORMATS = {"saved_model": "tf_saved_model", "litert": "litert", "onnx": "onnx"}


def export(network: keras.Model, path: Path, form: str) -> None:
    """Write a network to a path that does not exist. Raises OutputError.

    The time steps of "litert" are unrolled: Keras' loop over them needs operations of TensorFlow
    that LiteRT's own runtime lacks.
    """
    exported = unrolled(network) if form == "litert" else network
    exported(np.zeros((1, STEPS, FEATURES)))  # Keras exports only what has been called
    with files.replacing(path) as temporary, warnings.catch_warnings():
        # To patch tf2onnx, Keras reads a deprecated NumPy name.
        warnings.simplefilter("ignore", FutureWarning)
        exported.export(temporary, format=KERAS_FORMATS[form], verbose=False)
        if form == "onnx":
            _name_output(temporary)
        if path.exists():  # by now
            raise OutputError(f"{path} exists: name another")


def unrolled(network: keras.Model) -> keras.Model:
    """Return a network without loops and with the same weights."""

    def unroll(layer: keras.Layer) -> keras.Layer:
        settings: dict[str, Any] = layer.get_config()
        if "unroll" in settings:
            settings["unroll"] = True
        return type(layer).from_config(settings)

    copy = keras.models.clone_model(network, clone_function=unroll)
    copy.set_weights(network.get_weights())
    return copy


def _name_output(path: Path) -> None:
    """Name the one output of an ONNX file `logits`; tf2onnx makes a name up."""
    import onnx

    model = onnx.load(path)
    (output,) = model.graph.output
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["logits" if name == output.name else name for name in names]
    output.name = "logits"
    onnx.save(model, path)
