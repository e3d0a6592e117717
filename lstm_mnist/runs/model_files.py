"""Networks in files of Keras' own format, which stock Keras can load."""

import dataclasses
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lstm_mnist import networks
from lstm_mnist.config import CLASSES, FEATURES, STEPS, Config
from lstm_mnist.system import files, resources
from lstm_mnist.system.errors import DataError

# With smaller weights every output, a sum of some hundred of them, is finite for any picture.
MAX_WEIGHT = 1e30
CONFIG = "config.json"
# Keys of layers and initializers that Keras 3.4 lacks. Unset, they change nothing.
LATER_KEYS = {"input_axes", "output_axes", "quantization_config", "ragged", "optional"}
SHIPPED = Path(__file__).parents[1] / "model" / "stable.keras"


def write(path: Path, weights: Sequence[NDArray[np.float32]], config: Config) -> None:
    """Write the network with a run's weights. Raises OutputError."""
    network = portable(weights, config)
    with files.replacing(path) as temporary:
        network.save(temporary)
        _leave_out_later_keys(temporary)


def _leave_out_later_keys(path: Path) -> None:
    """Rewrite a file's configuration so that earlier versions of Keras know all of its keys."""
    with zipfile.ZipFile(path) as stored:
        parts = {name: stored.read(name) for name in stored.namelist()}
    known = json.loads(parts[CONFIG], object_hook=_known)
    with zipfile.ZipFile(path, "w") as stored:
        for name, content in {**parts, CONFIG: json.dumps(known).encode()}.items():
            stored.writestr(name, content)


def _known(settings: dict[str, Any]) -> dict[str, Any]:
    if settings.get("module") == "keras.src.ops.numpy":
        del settings["config"]["name"]  # the operation's node has it too
    return {name: value for name, value in settings.items() if name not in LATER_KEYS or value}


def portable(weights: Sequence[NDArray[np.float32]], config: Config) -> keras.Model:
    """Return a network made of Keras' own layers."""
    copy = networks.build(dataclasses.replace(config, kernel="keras"))
    copy.set_weights(weights)
    return copy


def load(path: Path) -> keras.Model:
    """Read a network's file without executing code from it. Raises DataError."""
    try:
        # Keras would wait for ever for a named pipe.
        files.reading(path, limit=resources.available_memory()).close()
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        shapes = model.input_shape, model.output_shape
    except Exception as error:  # Keras raises what zipfile, h5py and each class's parser raise
        raise _not_ours(path, str(error)) from error
    if shapes != ((None, STEPS, FEATURES), (None, CLASSES)):
        raise _not_ours(path, f"it maps {shapes[0]} to {shapes[1]}")
    # A comparison with NaN is false.
    if not all((np.abs(weights) < MAX_WEIGHT).all() for weights in model.get_weights()):
        raise _not_ours(path, f"a weight is not finite, or beyond {MAX_WEIGHT:g}")
    return model


def _not_ours(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is not a model of this project: {' '.join(reason.split()):.200}")
