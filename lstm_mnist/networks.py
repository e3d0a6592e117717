"""The network: Input -> LSTM over 28 time steps -> Dense(10), as a Keras functional model."""

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lstm_mnist import recurrence
from lstm_mnist.config import Config
from lstm_mnist.errors import DataError

STEPS, FEATURES, CLASSES = 28, 28, 10
# The order of `model.weights`.
WEIGHTS = ("kernel", "recurrent_kernel", "bias", "dense_kernel", "dense_bias")


@keras.saving.register_keras_serializable(package="lstm_mnist")
def hard_sigmoid(x: Any) -> Any:
    """Return clip(0.2 x + 0.5, 0, 1), the `hard_sigmoid` of TensorFlow 1's Keras.

    Keras 3 has another function of that name: relu6(x + 3) / 6.
    """
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


GATE_ACTIVATIONS = {"sigmoid": "sigmoid", "hard_sigmoid": hard_sigmoid}


def build(config: Config) -> keras.Model:
    """Build the network from images [B, 28, 28] in [0, 1] to logits [B, 10].

    The initial weights depend on `config.seed` alone and are distributed as TensorFlow 1.15's:
    glorot-uniform kernels, an orthogonal recurrent kernel, zero biases but one for the forget gate.
    """
    kernel_seed, recurrent_seed, dense_seed = _seeds(config.seed, 3)
    images = keras.Input((STEPS, FEATURES), name="images")
    steps = (
        images if config.scan == "rows" else keras.layers.Permute((2, 1), name="columns")(images)
    )
    initializers = {
        "kernel_initializer": keras.initializers.GlorotUniform(kernel_seed),
        "recurrent_initializer": keras.initializers.Orthogonal(seed=recurrent_seed),
    }
    # The final states [B, units]; RNN returns the last output, which is h, before them.
    *_, hidden_state, cell_state = _recurrent_layer(config, initializers)(steps)
    logits = keras.layers.Dense(
        CLASSES, kernel_initializer=keras.initializers.GlorotUniform(dense_seed), name="logits"
    )(cell_state if config.readout == "cell" else hidden_state)
    return keras.Model(images, logits, name="lstm_mnist")


def _recurrent_layer(config: Config, initializers: Mapping[str, Any]) -> keras.Layer:
    """Return the layer "lstm", whose last two outputs are the final states h and c."""
    if config.kernel == "fast":
        return recurrence.FastLSTM(
            config.units,
            recurrent_activation=config.recurrent_activation,
            **initializers,
            name="lstm",
        )
    cell = keras.layers.LSTMCell(
        config.units,
        recurrent_activation=GATE_ACTIVATIONS[config.recurrent_activation],
        **initializers,
    )
    return keras.layers.RNN(cell, return_state=True, name="lstm")


def portable(model: keras.Model, config: Config) -> keras.Model:
    """Return a built network made of Keras' own layers, for files that stock Keras can load."""
    copy = build(dataclasses.replace(config, kernel="keras"))
    copy.set_weights(model.get_weights())
    return copy


def load(path: Path) -> keras.Model:
    """Read a model file without executing code from it. Raises DataError."""
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a model: {str(error).splitlines()[0]}") from error


def final_states(model: keras.Model) -> keras.Model:
    """Return the part of a built network from images to its final states (h, c)."""
    return keras.Model(model.input, model.get_layer("lstm").output[-2:])


def weights(model: keras.Model) -> dict[str, NDArray[np.float32]]:
    """Return a network's weights by name; the gates lie in the order i, f, c, o."""
    return dict(zip(WEIGHTS, model.get_weights(), strict=True))


def set_weights(model: keras.Model, values: Mapping[str, NDArray[np.float32]]) -> None:
    """Set all of a network's weights from arrays by name."""
    model.set_weights([values[name] for name in WEIGHTS])


def _seeds(seed: int, count: int) -> list[int]:
    """Derive independent seeds, so that no two layers or runs share a random stream."""
    return [int(state) for state in np.random.SeedSequence(seed).generate_state(count)]
