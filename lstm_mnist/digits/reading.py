"""An image as a sequence: what a network says and remembers after each time step."""

from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from lstm_mnist import networks, training
from lstm_mnist.config import FEATURES, STEPS
from lstm_mnist.system.errors import UsageError

_REFUSED = (
    "--model: only a network of one recurrent layer that reads 28 time steps in one direction, and "
    "of a dense layer that reads its last state, can be followed step by step"
)


class Reading(NamedTuple):
    """What happens in a network while it reads an image."""

    steps: NDArray[np.float32]  # [28, 28], in [0, 1]: what each time step feeds
    probabilities: training.Probabilities  # [28, 10], after each step
    memory: NDArray[np.float32]  # [28, units], after each step: an LSTM's c, a simple RNN's s


class Reader:
    """A network of one recurrent layer, followed time step by time step."""

    def __init__(self, network: keras.Model) -> None:
        """Take a network apart.

        Raises UsageError unless it has one recurrent layer that reads 28 steps in one direction,
        and a dense layer that reads its last state.
        """
        parts = networks.parts(network)
        layer = parts.recurrent[0] if len(parts.recurrent) == 1 else None
        if not isinstance(layer, keras.layers.RNN) or layer.input.shape[1] != STEPS:
            raise UsageError(_REFUSED)
        self.parts = parts
        self.units = layer.cell.units
        self._steps = keras.Model(network.input, layer.input)
        self._cell = layer.cell
        image = np.linspace(0, 1, STEPS * FEATURES, dtype=np.float32).reshape(STEPS, FEATURES)
        try:
            told = self.read(image).probabilities[-1]
        except (ValueError, StopIteration) as error:
            raise UsageError(_REFUSED) from error
        (expected,) = training.probabilities(training.predict(network, image[np.newaxis]))
        if np.abs(told - expected).max() > 1e-3:
            raise UsageError(_REFUSED)

    def read(self, image: NDArray[np.float32]) -> Reading:
        """Read an image [28, 28] in [0, 1]."""
        steps = self._steps.predict_on_batch(image[np.newaxis])[0]
        states = self._cell.get_initial_state(batch_size=1)
        readouts, memory = [], []
        for step in steps:
            _, states = self._cell(step[np.newaxis], states)
            readouts.append(states[self.parts.readout])
            memory.append(states[-1])
        logits = self.parts.classifier(np.concatenate(readouts))
        return Reading(steps, training.probabilities(np.asarray(logits)), np.concatenate(memory))
