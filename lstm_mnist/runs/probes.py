"""Probes of a network while it trains, which leave training unchanged.

docs/protocol.md defines what is recorded at the end of every epoch.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lstm_mnist import data, networks
from lstm_mnist.config import Config
from lstm_mnist.results import EpochDynamics

PROBE_SIZE = 500
GAIN_STEPS = 20  # the last time steps, over which errors grow
CLIPPED = 2.5  # beyond it the hard sigmoid is constant

Array = NDArray[np.float64]
# The fields of points by "steps" and "epochs", as checkpoints keep them.
Recorded = Mapping[str, Sequence[Sequence[Any]]]


class Point(NamedTuple):
    """One probe of the network, always on the same training images."""

    step: int  # steps taken
    loss: float  # mean softmax cross-entropy, nats
    gradient_norm: float  # of the loss, over all weights
    cell_mean: float  # mean and largest |c|, or |s| of simple RNNs, after the last time step
    cell_max: float


class Recorder(keras.callbacks.Callback):
    """Probes the network whenever Keras returns to Python: every 25 steps in a run.

    At the end of an epoch it measures more. The argument `recorded` is what the property returned
    before a run was interrupted.
    """

    def __init__(self, config: Config, train: data.Split, recorded: Recorded | None = None) -> None:
        super().__init__()
        before = recorded or {"steps": (), "epochs": ()}
        self.points = [Point(*point) for point in before["steps"]]
        self.epochs = [EpochDynamics(*epoch) for epoch in before["epochs"]]
        self._gates = config.recurrent_activation
        self._images = tf.constant(data.scale(train.pixels[:PROBE_SIZE]))
        self._labels = tf.constant(train.labels[:PROBE_SIZE], tf.int32)

    @property
    def recorded(self) -> Recorded:
        """Return all points."""
        return {"steps": self.points, "epochs": self.epochs}

    def on_train_begin(self, logs: Any = None) -> None:
        """Compile the probe."""
        model, memory = self.model, networks.memory(self.model)
        weights = [variable.value for variable in model.trainable_variables]

        @tf.function(autograph=False)
        def probe() -> tuple[Any, ...]:
            with tf.GradientTape() as tape:
                loss = model.loss(self._labels, model(self._images, training=True))
            gradient_norm = tf.linalg.global_norm(tape.gradient(loss, weights))
            size = tf.abs(memory(self._images))
            return loss, gradient_norm, tf.reduce_mean(size), tf.reduce_max(size)

        self._probe = probe
        self._layer = networks.parts(model).recurrent[0]
        steps = keras.Model(model.input, self._layer.input)(self._images)
        self._steps = np.asarray(steps, np.float64)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Probe the network."""
        point = Point(int(self.model.optimizer.iterations), *map(float, self._probe()))
        self.points.append(point)
        # Here, because the state that is saved after the last step has to hold it.
        if batch + 1 == self.params["steps"]:
            self.epochs.append(self._measure(point))

    def _measure(self, point: Point) -> EpochDynamics:
        weights = [weight.astype(np.float64) for weight in self._layer.get_weights()]
        growth, saturated = follow(weights, self._gates, self._steps)
        measured = {
            "loss": point.loss,
            "gradient_norm": point.gradient_norm,
            "gain": float(np.median(growth)),
            "saturated": saturated,
            "cell_mean": point.cell_mean,
            "cell_max": point.cell_max,
            "weight_norm": norm(self.model.get_weights()),
            "recurrent_norm": norm(weights[1:2]),
        }
        finite = {name: value if math.isfinite(value) else None for name, value in measured.items()}
        return EpochDynamics(epoch=point.step // self.params["steps"], **finite)


def norm(arrays: Sequence[NDArray[Any]]) -> float:
    """Return the Euclidean norm of arrays taken together."""
    return float(np.sqrt(sum(np.sum(np.square(array, dtype=np.float64)) for array in arrays)))


def errors(images: int, size: int) -> Array:
    """Return the error [B, size] of each image's state, in a random direction of its own."""
    return np.random.default_rng(0).normal(size=(images, size))


def follow(weights: Sequence[Array], gates: str, steps: Array) -> tuple[Array, float]:
    """Follow a layer's states, and small errors in them, over time steps [B, T, features].

    `weights` are a layer's, in Keras' order: three of an LSTM, two of a simple RNN. Returns the
    growth [B] of each image's error over the last GAIN_STEPS time steps, to first order, and the
    share of gate inputs outside +-CLIPPED, NaN without gates.
    """
    images, length, _ = steps.shape
    units = len(weights[1])
    state = np.zeros((images, units * (2 if len(weights) == 3 else 1)))
    first = errors(*state.shape)
    error = np.zeros_like(state)
    clipped = []
    for step in range(length):
        if step == max(length - GAIN_STEPS, 0):
            error = first
        if len(weights) == 3:
            state, error, inputs = _lstm(weights, gates, steps[:, step], state, error)
            clipped.append(np.mean(np.abs(inputs) > CLIPPED))
        else:
            kernel, recurrent = weights
            state = np.tanh(steps[:, step] @ kernel + state @ recurrent)
            error = (1 - state**2) * (error @ recurrent)
    growth = np.linalg.norm(error, axis=1) / np.linalg.norm(first, axis=1)
    return growth, float(np.mean(clipped)) if clipped else math.nan


def _lstm(
    weights: Sequence[Array], gates: str, x: Array, state: Array, error: Array
) -> tuple[Array, Array, Array]:
    """Return state (h, c) and error [B, 2 units] after a step, and the gates' inputs."""
    kernel, recurrent, bias = weights
    (h, c), (dh, dc) = np.split(state, 2, axis=1), np.split(error, 2, axis=1)
    inputs = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
    tangents = np.split(dh @ recurrent, 4, axis=1)
    (i, di), (f, df), (o, do) = (_gate(gates, inputs[n], tangents[n]) for n in (0, 1, 3))
    g = np.tanh(inputs[2])
    dg = (1 - g**2) * tangents[2]
    dc = f * dc + df * c + i * dg + di * g
    c = f * c + i * g
    t = np.tanh(c)
    dh = do * t + o * (1 - t**2) * dc
    return np.hstack([o * t, c]), np.hstack([dh, dc]), np.hstack([*inputs[:2], inputs[3]])


def _gate(kind: str, x: Array, dx: Array) -> tuple[Array, Array]:
    """Return a gate's activation and, to first order, its error."""
    if kind == "hard_sigmoid":
        return np.clip(0.2 * x + 0.5, 0, 1), np.where(np.abs(x) < CLIPPED, 0.2 * dx, 0)
    y = 0.5 + 0.5 * np.tanh(0.5 * x)  # this form cannot overflow
    return y, y * (1 - y) * dx
