import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from lstm_mnist import config
from lstm_mnist.recurrence.layers import FastLSTM, FastSimpleRNN

Arrays = list[NDArray[Any]]
CELLS = ("simple", *config.RECURRENT_ACTIVATIONS)

pytestmark = pytest.mark.compiled


class Case(NamedTuple):
    """Random weights, inputs, first states, and what outputs and last states are weighted with."""

    cell: str
    weights: Arrays  # kernel, recurrent kernel, bias
    x: NDArray[np.float32]  # [B, T, F]
    first: Arrays  # [B, units] each
    to_sequence: NDArray[np.float32]  # [B, T, units]
    to_last: Arrays


def case(
    cell: str, batch: int, steps: int, features: int, units: int, *, scale: float = 1.0
) -> Case:
    """Draw a case in which rounding does not carry a hard sigmoid over the ends of its slope."""
    for seed in itertools.count():
        drawn = _draw(cell, batch, steps, features, units, scale, seed)
        if cell != "hard_sigmoid" or min(_to_the_ends(drawn, first) for first in (0, 1)) > 2e-6:
            return drawn
    raise AssertionError


def _to_the_ends(case: Case, first: int) -> float:
    """Return the least distance of a gate's z from where its hard sigmoid begins or ends."""
    zs = np.stack([step.z for step in steps_by_hand(case, first=bool(first))])
    gates = np.delete(zs.reshape(*zs.shape[:2], 4, -1), 2, axis=2)
    return float(np.abs(np.abs(gates) - 2.5).min())


def _draw(
    cell: str, batch: int, steps: int, features: int, units: int, scale: float, seed: int
) -> Case:
    random = np.random.default_rng([batch, units, seed])
    columns = units if cell == "simple" else 4 * units

    def normal(*shape: int) -> NDArray[np.float32]:
        return random.normal(size=shape).astype(np.float32)

    shrink = np.float32(scale / np.sqrt(features + units))
    weights = [shrink * normal(features, columns), shrink * normal(units, columns)]
    states = 1 if cell == "simple" else 2
    if cell != "simple":
        weights.append(normal(columns))
    return Case(
        cell,
        weights,
        normal(batch, steps, features),
        [normal(batch, units) for _ in range(states)],
        normal(batch, steps, units),
        [normal(batch, units) for _ in range(states)],
    )


def layer_of(case: Case, **settings: Any) -> keras.layers.Layer:
    units = case.to_sequence.shape[-1]
    layer = (
        FastSimpleRNN(units, return_sequences=True, **settings)
        if case.cell == "simple"
        else FastLSTM(units, recurrent_activation=case.cell, return_sequences=True, **settings)
    )
    layer.build(case.x.shape)
    layer.set_weights(case.weights)
    return layer


def results(
    layer: keras.layers.Layer, case: Case, *, first: bool = True, training: bool = True
) -> Arrays:
    """Return outputs and last states, then the gradients of inputs, first states and weights."""
    x, states = tf.constant(case.x), [tf.constant(state) for state in case.first if first]

    @tf.function
    def compute() -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x, *states])
            sequence, *last = layer(x, initial_state=states or None, training=training)
            loss = tf.reduce_sum(sequence * case.to_sequence)
            for state, factor in zip(last, case.to_last, strict=True):
                loss += tf.reduce_sum(state * factor)
        weights = [weight.value for weight in layer.trainable_weights]
        return [sequence, *last], tape.gradient(loss, [x, *states, *weights])

    outputs, gradients = compute()
    return [value.numpy() for value in [*outputs, *gradients] if value is not None]


class Step(NamedTuple):
    """One time step, computed by NumPy in float64."""

    z: NDArray[np.float64]
    h_before: NDArray[np.float64]
    c_before: NDArray[np.float64]
    gates: Arrays  # i, f, n, o of an LSTM
    h: NDArray[np.float64]
    c: NDArray[np.float64]


def steps_by_hand(case: Case, *, first: bool) -> list[Step]:
    kernel, recurrent, *rest = (weight.astype(np.float64) for weight in case.weights)
    h, c = (case.first[index].astype(np.float64) * first for index in (0, -1))
    steps = []
    for x in np.moveaxis(case.x.astype(np.float64), 1, 0):
        z = x @ kernel + h @ recurrent + (rest[0] if rest else 0)
        before, gates = (h, c), []
        if case.cell == "simple":
            h = np.tanh(z)
        else:
            zi, zf, zn, zo = np.split(z, 4, axis=1)
            gates = [_gate(case.cell, zi), _gate(case.cell, zf), np.tanh(zn), _gate(case.cell, zo)]
            i, f, n, o = gates
            c = f * c + i * n
            h = o * np.tanh(c)
        steps.append(Step(z, *before, gates, h, c))
    return steps


def by_hand(case: Case, *, first: bool = True) -> Arrays:
    """Return what `results` does, computed by NumPy in float64."""
    steps = steps_by_hand(case, first=first)
    kernel, recurrent, *rest = (weight.astype(np.float64) for weight in case.weights)
    x = case.x.astype(np.float64)
    dh, dc = (case.to_last[index].astype(np.float64) for index in (0, -1))
    d_x, d_kernel, d_recurrent = np.zeros_like(x), np.zeros_like(kernel), np.zeros_like(recurrent)
    d_bias = np.zeros(kernel.shape[1])
    for t, step in reversed([*enumerate(steps)]):
        dh = dh + case.to_sequence[:, t]
        if case.cell == "simple":
            dz = dh * (1 - step.h**2)
        else:
            i, f, n, o = step.gates
            dc = dc + dh * o * (1 - np.tanh(step.c) ** 2)
            di = _gate_gradient(case.cell, i) * dc * n
            df = _gate_gradient(case.cell, f) * dc * step.c_before
            do = _gate_gradient(case.cell, o) * dh * np.tanh(step.c)
            dz = np.concatenate([di, df, (1 - n**2) * dc * i, do], axis=1)
            dc = dc * f
        d_kernel += x[:, t].T @ dz
        d_recurrent += step.h_before.T @ dz
        d_bias += dz.sum(axis=0)
        d_x[:, t], dh = dz @ kernel.T, dz @ recurrent.T
    last, d_first = [steps[-1].h, steps[-1].c], [dh, dc]
    if case.cell == "simple":
        last, d_first = last[:1], d_first[:1]
    outputs = [np.stack([step.h for step in steps], axis=1), *last]
    d_weights = [d_kernel, d_recurrent, *([d_bias] if rest else [])]
    return [*outputs, d_x, *(d_first if first else []), *d_weights]


def _gate(name: str, z: NDArray[np.float64]) -> NDArray[np.float64]:
    y = 1 / (1 + np.exp(-z)) if name == "sigmoid" else np.clip(0.2 * z + 0.5, 0, 1)
    return np.asarray(y, np.float64)


def _gate_gradient(name: str, y: NDArray[np.float64]) -> NDArray[np.float64]:
    if name == "sigmoid":
        return y * (1 - y)
    return np.where((y > 0) & (y < 1), 0.2, 0.0)


def assert_close(actual: Sequence[Any], expected: Sequence[Any], bound: float = 3e-6) -> None:
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.dtype == np.float32
        scale = max(1.0, np.abs(theirs).max())
        np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=bound)


@pytest.mark.parametrize(
    ("cell", "batch", "units"), itertools.product(CELLS, (1, 3, 100, 1001), (1, 7, 100, 129))
)
def test_outputs_and_gradients_to_rounding(cell: str, batch: int, units: int) -> None:
    chosen = case(cell, batch, 3, 28 if units > 9 else 3, units)
    assert_close(results(layer_of(chosen), chosen), by_hand(chosen))


@pytest.mark.parametrize("cell", CELLS)
def test_all_steps_of_an_image_from_zero_states(cell: str) -> None:
    chosen = case(cell, 100, 28, 28, 100)
    assert_close(results(layer_of(chosen), chosen, first=False), by_hand(chosen, first=False))


@pytest.mark.parametrize("cell", CELLS)
def test_a_gradient_that_was_not_recorded_is_the_same(cell: str) -> None:
    chosen = case(cell, 5, 4, 3, 8)
    layer = layer_of(chosen)
    for ours, theirs in zip(
        results(layer, chosen, training=False), results(layer, chosen), strict=True
    ):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("gate", config.RECURRENT_ACTIVATIONS)
def test_saturated_gates(gate: str) -> None:
    chosen = case(gate, 50, 5, 28, 16, scale=6.0)
    kernel, recurrent, bias = chosen.weights
    z = chosen.x[:, 0] @ kernel + chosen.first[0] @ recurrent + bias
    assert (z > 2.5).mean() > 0.1
    assert (z < -2.5).mean() > 0.1
    assert_close(results(layer_of(chosen), chosen), by_hand(chosen), bound=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("batch", [5, 50, 100, 333])
def test_bits_do_not_depend_on_the_number_of_threads(cell: str, batch: int) -> None:
    chosen = case(cell, batch, 9, 5, 33)
    alone = results(layer_of(chosen, threads=1), chosen)
    for threads in (2, 3, 7):
        together = results(layer_of(chosen, threads=threads), chosen)
        assert all(itertools.starmap(np.array_equal, zip(alone, together, strict=True)))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_not_hidden(cell: str, value: float) -> None:
    chosen = case(cell, 3, 4, 2, 5)
    chosen.x[1, 2, 0] = value
    sequence = layer_of(chosen)(tf.constant(chosen.x))[0].numpy()
    finite = np.isfinite(sequence).all(axis=2)
    with np.errstate(invalid="ignore"):
        expected = np.isfinite(by_hand(chosen, first=False)[0]).all(axis=2)
    assert np.array_equal(finite, expected)


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_batch_size_unknown_to_the_graph(batch: int) -> None:
    chosen = case("sigmoid", batch, 28, 28, 100)
    layer = layer_of(chosen)
    run = tf.function(layer, input_signature=[tf.TensorSpec([None, 28, 28])])
    for ours, theirs in zip(run(chosen.x), layer(chosen.x), strict=True):
        assert np.array_equal(ours, theirs)


def test_no_gradient_of_inputs_that_are_data() -> None:
    chosen = case("sigmoid", 5, 4, 3, 8)
    outputs, whole = results(layer_of(chosen, inputs_gradient=False), chosen), by_hand(chosen)
    del whole[3]  # of the inputs
    assert_close(outputs, whole)


def test_wrong_shapes_are_an_error() -> None:
    chosen = case("sigmoid", 5, 4, 3, 8)
    wrong = [tf.zeros([4, 8]), tf.zeros([5, 8])]
    with pytest.raises(tf.errors.InvalidArgumentError, match="shapes"):
        layer_of(chosen)(tf.constant(chosen.x), initial_state=wrong)


def test_saved_layer_is_read_back(tmp_path: Path) -> None:
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, FastLSTM(5, recurrent_activation="hard_sigmoid")(inputs)[1])
    x = case("sigmoid", 7, 6, 4, 5).x
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="recurrent_activation"):
        FastLSTM(5, recurrent_activation="relu")
    with pytest.raises(ValueError, match="float32"):
        FastSimpleRNN(5, dtype="float64")
