"""Networks in files of Keras' own format, which stock Keras can load."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from lstm_mnist import networks
from lstm_mnist.config import STEPS, Config
from lstm_mnist.system import files
from lstm_mnist.system.errors import DataError

# With smaller weights every output is finite, whatever the picture: sums of some hundred of them.
MAX_WEIGHT = 1e30
SHIPPED = Path(__file__).parents[1] / "model" / "stable.keras"


def write(path: Path, weights: Sequence[NDArray[np.float32]], config: Config) -> None:
    """Write the network that a run's weights make. Raises OutputError."""
    network = portable(weights, config)
    with files.replacing(path) as temporary:
        network.save(temporary)


def portable(weights: Sequence[NDArray[np.float32]], config: Config) -> keras.Model:
    """Return a network made of Keras' own layers."""
    copy = networks.build(dataclasses.replace(config, kernel="keras"))
    copy.set_weights(weights)
    return copy


def load(path: Path) -> keras.Model:
    """Read a network's file without executing code from it. Raises DataError."""
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        shapes = model.input_shape, model.output_shape
    except Exception as error:  # Keras raises what zipfile, h5py and each class's parser raise
        raise _not_ours(path, str(error)) from error
    if shapes != ((None, STEPS, networks.FEATURES), (None, networks.CLASSES)):
        raise _not_ours(path, f"it maps {shapes[0]} to {shapes[1]}")
    # A comparison with NaN is false.
    if not all((np.abs(weights) < MAX_WEIGHT).all() for weights in model.get_weights()):
        raise _not_ours(path, f"a weight is not finite, or beyond {MAX_WEIGHT:g}")
    return model


def _not_ours(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is not a model of this project: {' '.join(reason.split()):.200}")
