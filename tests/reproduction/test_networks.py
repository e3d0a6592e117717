import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import DEEPEST_BY_DEFAULT
from numpy.typing import NDArray

from lstm_mnist import config, networks
from lstm_mnist.runs import model_files

Array = NDArray[Any]

GATES: dict[str, Callable[[Array], Array]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
}


def numpy_lstm(
    steps: Array, hidden: Array, cell: Array, weights: dict[str, Array], gate: str
) -> tuple[Array, Array]:
    """Return every step's states [B, T, units] of an LSTM, computed gate by gate.

    Steps are [B, T, F], the first states [B, units].
    """
    kernels = np.split(weights["kernel"], 4, axis=1)
    recurrent_kernels = np.split(weights["recurrent_kernel"], 4, axis=1)
    biases = np.split(weights["bias"], 4)
    activation = GATES[gate]
    states = []
    for step in np.moveaxis(steps, 1, 0):
        i, f, c, o = (
            step @ kernel + hidden @ recurrent_kernel + bias
            for kernel, recurrent_kernel, bias in zip(
                kernels, recurrent_kernels, biases, strict=True
            )
        )
        cell = activation(f) * cell + activation(i) * np.tanh(c)
        hidden = activation(o) * np.tanh(cell)
        states.append((hidden, cell))
    hiddens, cells = (np.stack(values, axis=1) for values in zip(*states, strict=True))
    return hiddens, cells


def numpy_rnn(steps: Array, state: Array, kernel: Array, recurrent_kernel: Array) -> Array:
    """Return every step's state [B, T, units]: s_t = tanh(U x_t + W s_{t-1})."""
    states = []
    for step in np.moveaxis(steps, 1, 0):
        state = np.tanh(step @ kernel + state @ recurrent_kernel)
        states.append(state)
    return np.stack(states, axis=1)


def numpy_network(
    model: keras.Model, settings: config.Config, images: Array, first: dict[str, list[Array]]
) -> Array:
    """Return the logits by the document's equations from first states by the layers' names."""
    read = []
    for direction in ("", "backward_") if settings.bidirectional else ("",):
        steps = images[:, ::-1] if direction else images
        for suffix in ("",) if settings.layers == 1 else range(1, settings.layers + 1):
            name = f"{direction}{settings.cell}{suffix and f'_{suffix}'}"
            weights = [value.astype(np.float64) for value in model.get_layer(name).get_weights()]
            if settings.cell == "lstm":
                named = dict(zip(networks.WEIGHTS, weights, strict=False))
                gate = settings.recurrent_activation
                hidden, cell = first[name]
                steps, cells = numpy_lstm(steps, hidden, cell, named, gate)
                last = (cells if settings.readout == "cell" else steps)[:, -1]
            else:
                steps = numpy_rnn(steps, *first[name], *weights)
                last = steps[:, -1]
        read.append(last)
    kernel, *bias = model.get_layer("logits").get_weights()
    return np.concatenate(read, axis=1) @ kernel + sum(bias)


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
    assert config.variant("document", clip_norm=1.0).variant == "document_clipped"
    assert config.variant("original", scan="columns").variant == "custom"


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("original_hidden", {"readout": "hidden"}),
        ("original_epsilon", {"epsilon": 1e-7}),
        ("original_cosine", {"schedule": "cosine"}),
        ("original_clipped", {"clip_norm": 1.0}),
        ("document", {"recurrent_activation": "sigmoid"}),
    ],
)
def test_one_change_in_what_ran(name: str, changed: dict[str, Any]) -> None:
    original, other = config.variant("original"), config.variant(name)
    assert {setting: getattr(other, setting) for setting in original.differences(other)} == changed


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
    hidden, cell = (states[:, -1] for states in numpy_lstm(steps, zeros, zeros, weights, gate))
    state = cell if readout == "cell" else hidden
    expected = state @ weights["dense_kernel"] + weights["dense_bias"]
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-5, atol=1e-5)
    for actual, state in zip(networks.final_states(model)(images), (hidden, cell), strict=True):
        np.testing.assert_allclose(actual, state, rtol=1e-5, atol=1e-5)


def randomised(settings: config.Config) -> keras.Model:
    """Return a network with random weights."""
    model = networks.build(settings)
    random = np.random.default_rng(3)
    model.set_weights([random.normal(scale=0.3, size=value.shape) for value in model.get_weights()])
    return model


def recurrent_layers(model: keras.Model) -> dict[str, keras.Layer]:
    return {layer.name: layer for layer in model.layers if isinstance(layer.output, list | tuple)}


NETWORKS = pytest.mark.parametrize(
    ("network", "kernel"), [*itertools.product(config.NETWORKS, config.KERNELS)]
)


@NETWORKS
def test_networks_are_the_equations(network: str, kernel: str) -> None:
    settings = config.Config(
        **config.NETWORKS[network], units=6, kernel=kernel, recurrent_activation="hard_sigmoid"
    )
    model = randomised(settings)
    images = np.random.default_rng(4).uniform(size=(5, 28, 28))
    layers = recurrent_layers(model)
    assert len(layers) == settings.layers * (2 if settings.bidirectional else 1)
    zeros = {name: [np.zeros((5, 6))] * len(layer.output[1:]) for name, layer in layers.items()}
    expected = numpy_network(model, settings, images, zeros)
    np.testing.assert_allclose(model(images), expected, rtol=1e-5, atol=1e-5)


@NETWORKS
def test_networks_from_a_state(network: str, kernel: str) -> None:
    settings = config.Config(**config.NETWORKS[network], units=6, kernel=kernel, readout="hidden")
    model = randomised(settings)
    random = np.random.default_rng(5)
    images = random.uniform(size=(5, 7, 28))
    layers = recurrent_layers(model)
    first = {
        name: [random.normal(size=(5, 6)) for _ in layer.output[1:]]
        for name, layer in layers.items()
    }
    directions: dict[bool, Any] = {False: images, True: images[:, ::-1].copy()}
    read: dict[bool, Any] = {}
    for name, layer in layers.items():
        backward = name.startswith("backward_")
        directions[backward], state, *_ = layer(directions[backward], initial_state=first[name])
        read[backward] = state
    logits = model.get_layer("logits")(np.concatenate([*read.values()], axis=1))
    expected = numpy_network(model, settings, images, first)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


# tests/reproduction/test_recurrence.py has each layer.
@pytest.mark.parametrize("network", DEEPEST_BY_DEFAULT)
def test_gradients_of_networks_are_finite_differences(network: str) -> None:
    keras.config.set_dtype_policy("float64")
    try:
        settings = config.Config(
            **config.NETWORKS[network], units=2, context=3, blanks=1, kernel="keras"
        )
        model = randomised(settings)
    finally:
        keras.config.set_dtype_policy("float32")
    random = np.random.default_rng(6)
    images, factors = random.uniform(size=(3, 28, 28)), random.normal(size=(3, 10))

    untrained = [variable.value for variable in model.non_trainable_variables]  # of dropout

    @tf.function
    def loss(*weights: Any) -> Any:
        logits, _ = model.stateless_call(weights, untrained, images, training=True)
        return tf.reduce_sum(logits * factors)

    point = [tf.constant(weight) for weight in model.trainable_variables]
    theoretical, numerical = tf.test.compute_gradient(loss, point, delta=1e-6)
    for ours, expected in zip(theoretical, numerical, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-8)


def test_parameters_of_networks() -> None:
    n, x, o = 100, 28, 10  # units, inputs, outputs
    first, above, read = x * n + n * n, n * n + n * n, n * o  # U and W, and those of layer 2; V
    expected = {
        "rnn": first + read,
        "birnn": 2 * first + 2 * read,
        "deep_rnn": first + above + read,
        "deep_birnn": 2 * (first + above) + 2 * read,
        "lstm": 4 * (first + n) + read + o,
        "bilstm": 2 * 4 * (first + n) + 2 * read + o,
        "deep_lstm": 4 * (first + n + above + n) + read + o,
        "deep_bilstm": 2 * 4 * (first + n + above + n) + 2 * read + o,
    }
    for network, settings in config.NETWORKS.items():
        model = networks.build(config.Config(**settings, context=1))
        assert model.count_params() == expected[network], network
    assert set(expected) == set(config.NETWORKS)


def test_directions_and_layers_begin_with_other_weights() -> None:
    model = networks.build(config.Config(cell="rnn", bidirectional=True, layers=2))
    kernels = [layer.get_weights()[1] for layer in recurrent_layers(model).values()]
    for one, other in itertools.combinations(kernels, 2):
        assert not np.array_equal(one, other)


def test_context_and_blanks() -> None:
    short = networks.build(config.Config(units=6, context=5, blanks=3))
    whole = networks.build(config.Config(units=6))
    images = np.random.default_rng(7).uniform(size=(4, 28, 28)).astype(np.float32)
    steps = np.concatenate([images[:, -5:], np.zeros((4, 3, 28), np.float32)], axis=1)
    *_, expected = whole.get_layer("lstm")(steps)
    np.testing.assert_allclose(networks.final_states(short)(images)[1], expected, atol=1e-6)


@pytest.mark.parametrize("network", config.NETWORKS)
def test_portable_network_is_made_of_keras_layers_and_read_back(
    network: str, tmp_path: Path
) -> None:
    settings = config.Config(**config.NETWORKS[network], units=6, context=9, scan="columns")
    model = randomised(settings)
    images = np.random.default_rng(8).uniform(size=(4, 28, 28)).astype(np.float32)
    model_files.portable(model.get_weights(), settings).save(tmp_path / "model.keras")
    loaded = model_files.load(tmp_path / "model.keras")
    expected = keras.layers.LSTM if settings.cell == "lstm" else keras.layers.SimpleRNN
    assert {type(layer) for layer in recurrent_layers(loaded).values()} == {expected}
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("gate", "kernel"), itertools.product(config.RECURRENT_ACTIVATIONS, config.KERNELS)
)
def test_recurrence_from_a_state(gate: str, kernel: str) -> None:
    random = np.random.default_rng(2)
    model = networks.build(config.Config(recurrent_activation=gate, kernel=kernel, units=13))
    weights = random_weights(model, random)
    images = random.uniform(size=(5, 28, 28)).astype(np.float32)
    hidden, cell = random.normal(size=(2, 5, 13)).astype(np.float32)
    expected = (states[:, -1] for states in numpy_lstm(images, hidden, cell, weights, gate))
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
