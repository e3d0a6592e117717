"""JAX: a jitted training step around lax.scan, with Adam written out."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders import orders, steps
from lstm_mnist import data
from lstm_mnist.config import CLASSES, Config

EVALUATION_BATCH_SIZE = 1_000
BETA_1, BETA_2 = 0.9, 0.999

Parameters = dict[str, jax.Array]


class State(NamedTuple):
    """What a step of training changes."""

    step: jax.Array
    parameters: Parameters
    first_moment: Parameters
    second_moment: Parameters


class Contender:
    """The data is one array on the device, from which a step gathers its batch."""

    def __init__(self, config: Config, dataset: data.Dataset) -> None:
        self._train, self._test = (
            (jnp.asarray(split.images), jnp.asarray(split.labels))
            for split in (dataset.train, dataset.test)
        )
        self._orders = orders(config, dataset)
        self._state = initial(config, dataset.train.pixels.shape[2])
        self._step = jax.jit(
            partial(step, learning_rate=learning_rate(config, dataset), epsilon=config.epsilon),
            donate_argnums=0,
        )

    def train_epoch(self) -> None:
        """Take one step per batch."""
        self.train(next(self._orders))

    def train(self, order: NDArray[np.int64]) -> None:
        """Take one step per row of indices [steps, B]."""
        for index in order:
            self._state = self._step(self._state, *self._train, index)
        jax.block_until_ready(self._state)

    def set_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Set the weights by their names in this project."""
        parameters = {name: jnp.asarray(array) for name, array in weights.items()}
        self._state = self._state._replace(parameters=parameters)

    def outputs(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Return the final h and c [B, units] and the logits [B, 10] of images [B, 28, 28]."""
        return tuple(np.asarray(part) for part in outputs(self._state.parameters, images))

    def evaluate(self) -> tuple[float, float]:
        """Return the accuracy over all training and over all test images."""
        return self._accuracy(*self._train), self._accuracy(*self._test)

    def _accuracy(self, images: jax.Array, labels: jax.Array) -> float:
        predicted = [
            predict(self._state.parameters, images[start : start + EVALUATION_BATCH_SIZE])
            for start in range(0, len(images), EVALUATION_BATCH_SIZE)
        ]
        return float(np.mean(np.concatenate(predicted) == labels))


def learning_rate(config: Config, dataset: data.Dataset) -> Callable[[jax.Array], jax.Array]:
    """Return the learning rate as a function of how many steps were taken."""
    if config.schedule == "constant":
        return lambda step: jnp.full_like(step, config.learning_rate)
    last = config.epochs * steps(config, dataset)
    return lambda step: config.learning_rate * (1 + jnp.cos(jnp.pi * step / last)) / 2


def initial(config: Config, features: int) -> State:
    """Return the state before the first step, initialised as Keras does."""
    keys = jax.random.split(jax.random.key(config.seed), 3)
    glorot = jax.nn.initializers.glorot_uniform()
    units = config.units
    parameters = {
        "kernel": glorot(keys[0], (features, 4 * units)),
        "recurrent_kernel": jax.nn.initializers.orthogonal()(keys[1], (units, 4 * units)),
        "bias": jnp.zeros(4 * units).at[units : 2 * units].set(1.0),
        "dense_kernel": glorot(keys[2], (units, CLASSES)),
        "dense_bias": jnp.zeros(CLASSES),
    }
    zeros = partial(jax.tree.map, jnp.zeros_like)
    return State(jnp.zeros(()), parameters, zeros(parameters), zeros(parameters))


def logits(parameters: Parameters, images: jax.Array) -> jax.Array:
    """Return the logits [B, 10] of images [B, 28, 28]."""
    return outputs(parameters, images)[-1]


def outputs(parameters: Parameters, images: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the final h and c [B, units] and the logits [B, 10] of images [B, 28, 28]."""

    def time_step(states: tuple[jax.Array, jax.Array], row: jax.Array) -> tuple[Any, None]:
        hidden, cell = states
        # The first product stays in the loop: hoisted, XLA trains no faster on a CPU and evaluates
        # in twice the time.
        gates = row @ parameters["kernel"] + hidden @ parameters["recurrent_kernel"]
        i, f, c, o = jnp.split(gates + parameters["bias"], 4, axis=1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(c)
        return (jax.nn.sigmoid(o) * jnp.tanh(cell), cell), None

    zeros = jnp.zeros((len(images), len(parameters["recurrent_kernel"])))
    (hidden, cell), _ = jax.lax.scan(time_step, (zeros, zeros), jnp.swapaxes(images, 0, 1))
    return hidden, cell, cell @ parameters["dense_kernel"] + parameters["dense_bias"]


def loss(parameters: Parameters, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean softmax cross-entropy."""
    log_probabilities = jax.nn.log_softmax(logits(parameters, images))
    return -jnp.mean(jnp.take_along_axis(log_probabilities, labels[:, jnp.newaxis], axis=1))


def step(
    state: State,
    images: jax.Array,
    labels: jax.Array,
    index: jax.Array,
    *,
    learning_rate: Callable[[jax.Array], jax.Array],
    epsilon: float,
) -> State:
    """Return the state after one step of Adam on the examples at `index`."""
    gradient = jax.grad(loss)(state.parameters, images[index], labels[index])
    number = state.step + 1
    first = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, state.first_moment, gradient)
    second = jax.tree.map(
        lambda v, g: BETA_2 * v + (1 - BETA_2) * g**2, state.second_moment, gradient
    )
    rate = learning_rate(state.step) * jnp.sqrt(1 - BETA_2**number) / (1 - BETA_1**number)
    parameters = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) + epsilon), state.parameters, first, second
    )
    return State(number, parameters, first, second)


@jax.jit
def predict(parameters: Parameters, images: jax.Array) -> jax.Array:
    """Return the most likely class [B] of each image."""
    return jnp.argmax(logits(parameters, images), axis=1)
