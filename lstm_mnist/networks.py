"""The networks: images -> recurrent layers over the time steps -> 10 logits, as functional models.

The script's LSTM, and the simpler and larger networks from which the document derives it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lstm_mnist.config import CLASSES, FEATURES, STEPS, Config
from lstm_mnist.recurrence import layers

# The order of the weights of the script's network.
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
    glorot-uniform kernels, an orthogonal recurrent kernel, zero biases but ones for forget gates.
    Simple RNNs have no biases, as in the document's equations.
    """
    images = keras.Input((STEPS, FEATURES), name="images")
    steps = _time_steps(images, config)
    state = _recurrences(steps, config)
    if config.bidirectional:
        # o = g(V s + V' s') in section 0x02. A classifier of whole images reads s after the last
        # step and s' after the first: in each direction, the only state that has seen all of it.
        reverse = keras.ops.flip(steps, axis=1)
        state = keras.ops.concatenate([state, _recurrences(reverse, config, backward=True)], axis=1)
    *_, dense_seed = _seeds(config.seed, 3)
    logits = keras.layers.Dense(
        CLASSES,
        use_bias=config.cell == "lstm",
        kernel_initializer=keras.initializers.GlorotUniform(dense_seed),
        name="logits",
    )(state)
    return keras.Model(images, logits, name="lstm_mnist")


def _time_steps(images: Any, config: Config) -> Any:
    """Turn images into time steps [B, T, 28]: the last rows or columns, then blank ones."""
    steps = images
    if config.scan == "columns":
        steps = keras.layers.Permute((2, 1), name="columns")(steps)
    if config.context < STEPS:
        steps = keras.layers.Cropping1D((STEPS - config.context, 0), name="context")(steps)
    if config.blanks:
        steps = keras.layers.ZeroPadding1D((0, config.blanks), name="blanks")(steps)
    return steps


def _recurrences(steps: Any, config: Config, *, backward: bool = False) -> Any:
    """Apply one direction's layers to steps [B, T, 28]; return the state to read out [B, units].

    Section 0x03 feeds layer i with layer i-1's s, and the s' of layer i with layer i-1's s': the
    directions meet in the output alone. (Keras' stacked `Bidirectional` layers mix them at every
    layer.) Its `W s` leaves open which layer's s is meant; here it is the layer's own.
    """
    states: list[Any] = []
    for layer in range(config.layers):
        name = f"backward_{config.cell}" if backward else config.cell
        # The outputs, [B, T, units] for a layer above, and the last states [B, units]: h, c or s.
        steps, *states = _recurrent_layer(
            config,
            name=f"{name}_{layer + 1}" if config.layers > 1 else name,
            return_sequences=layer + 1 < config.layers,
            inputs_gradient=layer > 0,  # the images are data
            **_initializers(config.seed, layer, backward),
        )(steps)
    return states[0] if config.readout == "hidden" else states[-1]


def _initializers(seed: int, layer: int, backward: bool) -> dict[str, keras.Initializer]:
    stream = (layer, int(backward)) if layer or backward else ()
    kernel_seed, recurrent_seed = _seeds(seed, 2, stream)
    return {
        "kernel_initializer": keras.initializers.GlorotUniform(kernel_seed),
        "recurrent_initializer": keras.initializers.Orthogonal(seed=recurrent_seed),
    }


def _recurrent_layer(config: Config, **arguments: Any) -> keras.layers.Layer:
    """Return a layer with the outputs of Keras' own with `return_state=True`."""
    compiled = layers.choose(config.kernel) == "compiled"
    if not compiled:  # Keras computes the inputs' gradient only where it is used
        del arguments["inputs_gradient"]
    match compiled, config.cell:
        case True, "lstm":
            return layers.FastLSTM(
                config.units, recurrent_activation=config.recurrent_activation, **arguments
            )
        case True, _:
            return layers.FastSimpleRNN(config.units, **arguments)
        case _, "lstm":
            return keras.layers.LSTM(
                config.units,
                recurrent_activation=GATE_ACTIVATIONS[config.recurrent_activation],
                return_state=True,
                **arguments,
            )
    return keras.layers.SimpleRNN(config.units, use_bias=False, return_state=True, **arguments)


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts of a network, recognised by the layers that `build` gave it."""

    scan: str  # one of config.SCANS
    cell: str  # one of config.CELLS
    # In order. Each returns its output and its last states: h and c, or s.
    recurrent: tuple[keras.Layer, ...]
    classifier: keras.Layer

    @property
    def readout(self) -> int:
        """Return which last state of its only layer the network classifies, as an index."""
        (layer,) = self.recurrent
        _, *states = layer.output
        return next(i for i, state in enumerate(states) if state is self.classifier.input)


def parts(model: keras.Model) -> Parts:
    """Return the parts of a network."""
    recurrent = tuple(layer for layer in model.layers if isinstance(layer.output, (tuple, list)))
    return Parts(
        scan="columns" if any(layer.name == "columns" for layer in model.layers) else "rows",
        cell="lstm" if any(len(layer.output) == 3 for layer in recurrent) else "rnn",
        recurrent=recurrent,
        classifier=model.layers[-1],
    )


def final_states(model: keras.Model) -> keras.Model:
    """Return the part of the script's network from images to its final states (h, c)."""
    (layer,) = parts(model).recurrent
    return keras.Model(model.input, layer.output[1:])


def memory(model: keras.Model) -> keras.Model:
    """Return the part of a network from images to all its layers' last c, or s: [B, sum of units].

    c is what an LSTM remembers, s what a simple RNN does.
    """
    states = [layer.output[-1] for layer in parts(model).recurrent]
    return keras.Model(model.input, keras.ops.concatenate(states, axis=1))


def weights(model: keras.Model) -> dict[str, NDArray[np.float32]]:
    """Return the script's network's weights by name; the gates are in the order i, f, c, o."""
    return dict(zip(WEIGHTS, model.get_weights(), strict=True))


def set_weights(model: keras.Model, values: Mapping[str, NDArray[np.float32]]) -> None:
    """Set all of the script's network's weights from arrays by name."""
    model.set_weights([values[name] for name in WEIGHTS])


def _seeds(seed: int, count: int, stream: tuple[int, ...] = ()) -> list[int]:
    """Derive independent seeds, so that no two layers or runs share a random stream."""
    sequence = np.random.SeedSequence(seed, spawn_key=stream)
    return [int(state) for state in sequence.generate_state(count)]
