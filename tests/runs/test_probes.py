"""What is recorded at the end of an epoch, against other ways to compute it."""

import keras
import numpy as np
import pytest

from lstm_mnist import config, data, networks
from lstm_mnist.runs import probes

STEP = 1e-6


def states(network: keras.Layer, steps: np.ndarray, first: list[np.ndarray]) -> np.ndarray:
    """Return the last states [B, sum of sizes] from first ones, by Keras in float64."""
    _, *last = network(steps, initial_state=first)
    return np.hstack([np.asarray(state) for state in last])


@pytest.mark.parametrize("gates", config.RECURRENT_ACTIVATIONS)
@pytest.mark.parametrize("cell", config.CELLS)
def test_gain_is_that_of_finite_differences(cell: str, gates: str, dataset: data.Dataset) -> None:
    units = 17
    random = np.random.default_rng(3)
    if cell == "lstm":
        layer = keras.layers.LSTM(
            units,
            recurrent_activation=networks.GATE_ACTIVATIONS[gates],
            return_state=True,
            dtype="float64",
        )
        sizes = [units, units]
    else:
        layer = keras.layers.SimpleRNN(units, use_bias=False, return_state=True, dtype="float64")
        sizes = [units]
    layer.build((None, 28, 28))
    # Large enough that gates are clipped and errors grow.
    layer.set_weights([random.normal(scale=0.5, size=weight.shape) for weight in layer.weights])
    steps = dataset.train.images[:40].astype(np.float64)

    growth, saturated = probes.follow(layer.get_weights(), gates, steps)

    zeros = [np.zeros((40, size)) for size in sizes]
    at_row_8 = states(layer, steps[:, :8], zeros)
    errors = probes.errors(40, sum(sizes))
    ends = [
        states(layer, steps[:, 8:], np.split(at_row_8 + STEP * sign * errors, len(sizes), axis=1))
        for sign in (1, -1)
    ]
    expected = np.linalg.norm(ends[0] - ends[1], axis=1) / (
        2 * STEP * np.linalg.norm(errors, axis=1)
    )
    # A gate within the step's reach of a corner has two slopes.
    assert np.sum(~np.isclose(growth, expected, rtol=1e-5, atol=1e-7)) <= 1
    assert 0 < saturated < 1 if cell == "lstm" else np.isnan(saturated)


def test_share_of_saturated_gates(dataset: data.Dataset) -> None:
    """Of gates whose inputs are their biases, those outside 2.5 are counted, but for the cell's."""
    kernel, recurrent, bias = np.zeros((28, 16)), np.zeros((4, 16)), np.zeros(16)
    bias[:4] = [2.4, 2.6, -2.4, -2.6]  # of the input gate
    bias[8:12] = 9  # of the candidate, which is not a gate
    steps = dataset.train.images[:3].astype(np.float64)
    _, saturated = probes.follow([kernel, recurrent, bias], "sigmoid", steps)
    assert saturated == pytest.approx(2 / 12)


def test_norm_is_of_all_arrays_together() -> None:
    assert probes.norm([np.array([[3.0]]), np.array([4.0, 12.0])]) == 13
