import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from lstm_mnist import config, networks

Array = NDArray[Any]

GATES: dict[str, Callable[[Array], Array]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
}


def numpy_lstm(
    steps: Array, hidden: Array, cell: Array, weights: dict[str, Array], gate: str
) -> tuple[Array, Array]:
    """Return the final states of an LSTM, computed gate by gate; steps are [B, T, F]."""
    kernels = np.split(weights["kernel"], 4, axis=1)
    recurrent_kernels = np.split(weights["recurrent_kernel"], 4, axis=1)
    biases = np.split(weights["bias"], 4)
    activation = GATES[gate]
    for step in np.moveaxis(steps, 1, 0):
        i, f, c, o = (
            step @ kernel + hidden @ recurrent_kernel + bias
            for kernel, recurrent_kernel, bias in zip(
                kernels, recurrent_kernels, biases, strict=True
            )
        )
        cell = activation(f) * cell + activation(i) * np.tanh(c)
        hidden = activation(o) * np.tanh(cell)
    return hidden, cell


def random_weights(model: keras.Model, random: np.random.Generator) -> dict[str, Array]:
    """Give a network weights large enough to saturate some of its gates, and return them."""
    values = {
        name: random.normal(scale=0.3, size=value.shape).astype(np.float32)
        for name, value in networks.weights(model).items()
    }
    networks.set_weights(model, values)
    return {name: value.astype(np.float64) for name, value in values.items()}


def test_default_is_the_document_variant() -> None:
    assert config.Config().variant == "document"


def test_a_part_of_its_own_makes_a_variant_custom() -> None:
    assert config.variant("original", recurrent_activation="sigmoid").variant == "document"
    assert config.variant("original", readout="hidden").variant == "original_hidden"
    assert config.variant("original", scan="columns").variant == "custom"


@pytest.mark.parametrize(("name", "kernel"), itertools.product(config.VARIANTS, config.KERNELS))
def test_parameters(name: str, kernel: str) -> None:
    model = networks.build(config.variant(name, kernel=kernel))
    assert model.count_params() == 4 * (28 * 100 + 100 * 100 + 100) + 100 * 10 + 10 == 52_610
    shapes = {name: value.shape for name, value in networks.weights(model).items()}
    assert shapes == {
        "kernel": (28, 400),
        "recurrent_kernel": (100, 400),
        "bias": (400,),
        "dense_kernel": (100, 10),
        "dense_bias": (10,),
    }


@pytest.mark.parametrize(
    ("readout", "gate", "scan", "kernel"),
    itertools.product(config.READOUTS, config.RECURRENT_ACTIVATIONS, config.SCANS, config.KERNELS),
)
def test_logits_are_those_of_a_numpy_lstm(readout: str, gate: str, scan: str, kernel: str) -> None:
    random = np.random.default_rng(1)
    settings = config.Config(
        readout=readout, recurrent_activation=gate, scan=scan, kernel=kernel, units=13
    )
    model = networks.build(settings)
    weights = random_weights(model, random)
    images = random.uniform(size=(5, 28, 28)).astype(np.float32)
    steps = images.astype(np.float64) if scan == "rows" else images.transpose(0, 2, 1)
    zeros = np.zeros((5, 13))
    hidden, cell = numpy_lstm(steps, zeros, zeros, weights, gate)
    state = cell if readout == "cell" else hidden
    expected = state @ weights["dense_kernel"] + weights["dense_bias"]
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-5, atol=1e-5)
    for actual, state in zip(networks.final_states(model)(images), (hidden, cell), strict=True):
        np.testing.assert_allclose(actual, state, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("gate", "kernel"), itertools.product(config.RECURRENT_ACTIVATIONS, config.KERNELS)
)
def test_recurrence_from_a_state(gate: str, kernel: str) -> None:
    random = np.random.default_rng(2)
    model = networks.build(config.Config(recurrent_activation=gate, kernel=kernel, units=13))
    weights = random_weights(model, random)
    images = random.uniform(size=(5, 28, 28)).astype(np.float32)
    hidden, cell = random.normal(size=(2, 5, 13)).astype(np.float32)
    expected = numpy_lstm(images, hidden, cell, weights, gate)
    layer = model.get_layer("lstm")
    actual = layer(images, initial_state=[hidden, cell])[-2:]
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", config.KERNELS)
def test_initial_weights_are_distributed_as_in_tensorflow_1(kernel: str) -> None:
    weights = networks.weights(networks.build(config.Config(seed=4, kernel=kernel)))
    for name, inputs, outputs in (("kernel", 28, 400), ("dense_kernel", 100, 10)):
        limit = np.sqrt(6 / (inputs + outputs))  # glorot-uniform
        assert np.abs(weights[name]).max() <= limit
        assert weights[name].std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
    recurrent_kernel = weights["recurrent_kernel"]
    np.testing.assert_allclose(recurrent_kernel @ recurrent_kernel.T, np.eye(100), atol=1e-5)
    assert np.array_equal(weights["bias"], np.repeat([0, 1, 0, 0], 100))
    assert not weights["dense_bias"].any()


def test_initial_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (
        networks.weights(networks.build(config.Config(seed=seed))) for seed in (1, 1, 2)
    )
    for name in ("kernel", "recurrent_kernel", "dense_kernel"):
        assert np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


def test_hard_sigmoid_is_that_of_tensorflow_1() -> None:
    x = np.array([-3.0, -2.5, -1.0, 0.0, 1.0, 2.5, 3.0], np.float32)
    expected = [0.0, 0.0, 0.3, 0.5, 0.7, 1.0, 1.0]
    np.testing.assert_allclose(networks.hard_sigmoid(x), expected, atol=1e-7)
