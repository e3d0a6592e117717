import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from lstm_mnist import config, networks
from lstm_mnist.recurrence import FastLSTM

Arrays = list[NDArray[Any]]


def pair(
    gate: str,
    features: int,
    units: int,
    *,
    scale: float = 1.0,
    dtype: str = "float32",
    **settings: Any,
) -> tuple[FastLSTM, keras.layers.RNN]:
    """Return our layer and Keras' with the same random weights."""
    ours = FastLSTM(units, recurrent_activation=gate, dtype=dtype, **settings)
    cell = keras.layers.LSTMCell(
        units, recurrent_activation=networks.GATE_ACTIVATIONS[gate], dtype=dtype
    )
    theirs = keras.layers.RNN(cell, return_state=True, dtype=dtype)
    random = np.random.default_rng(0)
    for layer in (ours, theirs):
        layer.build((None, 5, features))
    for weight, counterpart in zip(ours.weights, theirs.weights, strict=True):
        assert weight.name == counterpart.name
        assert weight.shape == counterpart.shape
        value = scale * random.normal(size=weight.shape) / np.sqrt(features + units)
        weight.assign(value)
        counterpart.assign(value)
    return ours, theirs


def arguments(batch: int, steps: int, features: int, units: int, dtype: str = "float32") -> Arrays:
    """Return random inputs, first h and c, and what the last h and c are multiplied with."""
    random = np.random.default_rng(1)
    shapes = [(batch, steps, features), *4 * [(batch, units)]]
    return [random.normal(size=shape).astype(dtype) for shape in shapes]


def results(layer: keras.Layer, values: Arrays, *, training: bool, graph: bool) -> Arrays:
    """Return the last h and c, and the gradients to inputs, first states and weights."""
    x, h, c, to_h, to_c = map(tf.constant, values)

    def compute(x: Any, h: Any, c: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x, h, c])
            *_, last_h, last_c = layer(x, initial_state=[h, c], training=training)
            loss = tf.reduce_sum(last_h * to_h) + tf.reduce_sum(last_c * to_c)
        sources = [x, h, c, *(weight.value for weight in layer.trainable_weights)]
        return [last_h, last_c, *tape.gradient(loss, sources)]

    run = tf.function(compute) if graph else compute
    return [tensor.numpy() for tensor in run(x, h, c)]


def check(
    layers: tuple[keras.Layer, keras.Layer],
    values: Arrays,
    *,
    training: bool = True,
    graph: bool = True,
    bound: float = 3e-6,
) -> None:
    ours, theirs = (results(layer, values, training=training, graph=graph) for layer in layers)
    for actual, expected in zip(ours, theirs, strict=True):
        assert actual.dtype == expected.dtype
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=bound)


@pytest.mark.parametrize(
    ("gate", "batch", "shards"),
    itertools.product(config.RECURRENT_ACTIVATIONS, (1, 7, 100), (1, 2, 3)),
)
def test_outputs_and_gradients_are_those_of_keras(gate: str, batch: int, shards: int) -> None:
    check(pair(gate, 28, 100, shards=shards), arguments(batch, 28, 28, 100))


@pytest.mark.parametrize(
    ("gate", "training", "graph"),
    itertools.product(config.RECURRENT_ACTIVATIONS, (True, False), (True, False)),
)
def test_eagerly_and_without_training(gate: str, training: bool, graph: bool) -> None:
    check(pair(gate, 3, 8), arguments(5, 4, 3, 8), training=training, graph=graph)


@pytest.mark.parametrize("gate", config.RECURRENT_ACTIVATIONS)
def test_saturated_gates(gate: str) -> None:
    layers = pair(gate, 28, 16, scale=6.0)
    values = arguments(50, 5, 28, 16)
    x, h, *_ = values
    kernel, recurrent_kernel, bias = layers[0].get_weights()
    z = x[:, 0] @ kernel + h @ recurrent_kernel + bias
    assert (z > 2.5).mean() > 0.1
    assert (z < -2.5).mean() > 0.1
    check(layers, values, bound=1e-5)


@pytest.mark.parametrize("gate", config.RECURRENT_ACTIVATIONS)
def test_float64(gate: str) -> None:
    check(pair(gate, 5, 9, dtype="float64"), arguments(7, 6, 5, 9, "float64"), bound=1e-13)


@pytest.mark.parametrize("gate", config.RECURRENT_ACTIVATIONS)
def test_gradients_are_finite_differences(gate: str) -> None:
    layer, _ = pair(gate, 3, 4, scale=2.0, dtype="float64")
    x, h, c, to_h, to_c = arguments(5, 3, 3, 4, "float64")

    @tf.function
    def loss(x: Any, h: Any, c: Any, *weights: Any) -> Any:
        (_, last_h, last_c), _ = layer.stateless_call(weights, [], x, [h, c], training=True)
        return tf.reduce_sum(last_h * to_h) + tf.reduce_sum(last_c * to_c)

    point = [tf.constant(value) for value in (x, h, c, *layer.get_weights())]
    theoretical, numerical = tf.test.compute_gradient(loss, point, delta=1e-6)
    for ours, expected in zip(theoretical, numerical, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_batch_size_unknown_to_the_graph(batch: int) -> None:
    ours, theirs = pair("sigmoid", 28, 100, shards=2)
    run = tf.function(ours, input_signature=[tf.TensorSpec([None, 28, 28])])
    x = arguments(batch, 28, 28, 100)[0]
    for actual, expected in zip(run(x), theirs(x), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=3e-6)


def test_unused_gradient_of_the_inputs_is_not_computed() -> None:
    layer, _ = pair("sigmoid", 4, 5, shards=2)

    def gradients(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True)[1])
        return tape.gradient(loss, [x, *(weight.value for weight in layer.weights)])

    def ancestors(tensors: list[Any]) -> set[str]:
        found: set[str] = set()
        queue = [tensor.op for tensor in tensors]
        while queue:
            op = queue.pop()
            if op.name not in found:
                found.add(op.name)
                queue += [*(tensor.op for tensor in op.inputs), *op.control_inputs]
        return found

    graph = tf.function(gradients).get_concrete_function(tf.TensorSpec([2, 3, 4]))
    assert any("Tensordot" in name for name in ancestors(graph.outputs[:1]))
    assert not any("Tensordot" in name for name in ancestors(graph.outputs[1:]))


def test_saved_layer_is_read_back(tmp_path: Path) -> None:
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, FastLSTM(5, recurrent_activation="hard_sigmoid")(inputs)[1])
    x = arguments(7, 6, 4, 5)[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_unknown_gate_is_refused() -> None:
    with pytest.raises(ValueError, match="recurrent_activation"):
        FastLSTM(5, recurrent_activation="relu")
