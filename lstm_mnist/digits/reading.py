"""An image as a sequence: what a network says and remembers after each time step."""

from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from lstm_mnist import training
from lstm_mnist.config import STEPS
from lstm_mnist.system.errors import UsageError


class Reading(NamedTuple):
    """What happens in a network while it reads an image."""

    steps: NDArray[np.float32]  # [28, 28], in [0, 1]: what each time step feeds
    probabilities: training.Probabilities  # [28, 10], after each step
    memory: NDArray[np.float32]  # [28, units], after each step: an LSTM's c, a simple RNN's s


class Reader:
    """A network of one recurrent layer, to be stopped after each time step."""

    def __init__(self, network: keras.Model) -> None:
        """Take a network apart.

        Raises UsageError if it has not one recurrent layer that reads 28 steps in one direction.
        """
        recurrent = [layer for layer in network.layers if isinstance(layer, keras.layers.RNN)]
        if len(recurrent) != 1 or recurrent[0].input.shape[1] != STEPS:
            raise UsageError(
                "--model: only a network of one recurrent layer that reads 28 time steps in one "
                "direction can be followed step by step"
            )
        (layer,), self._classifier = recurrent, network.get_layer("logits")
        self._steps = keras.Model(network.input, layer.input)
        self._cell = layer.cell
        # A layer returns its output before its last states, of which one is classified.
        _, *states = layer.output
        self._readout = next(i for i, s in enumerate(states) if s is self._classifier.input)
        self.units = states[-1].shape[1]

    def read(self, image: NDArray[np.float32]) -> Reading:
        """Read an image [28, 28] in [0, 1]."""
        steps = self._steps.predict_on_batch(image[np.newaxis])[0]
        states = self._cell.get_initial_state(batch_size=1)
        readouts, memory = [], []
        for step in steps:
            _, states = self._cell(step[np.newaxis], states)
            readouts.append(states[self._readout])
            memory.append(states[-1])
        logits = self._classifier(np.concatenate(readouts))
        return Reading(steps, training.probabilities(np.asarray(logits)), np.concatenate(memory))
