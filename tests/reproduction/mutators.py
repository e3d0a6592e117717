"""Ways to put a fault into the program for the time of a test."""

import dataclasses
import functools
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_mnist import config, data, networks, results, training
from lstm_mnist.order import EpochOrder
from lstm_mnist.recurrence import layers

Patch = pytest.MonkeyPatch
Put = Callable[[Patch], object]
Change = Callable[[Iterator[EpochOrder]], Iterator[EpochOrder]]


def adam(**arguments: Any) -> Put:
    """Give the optimizer other arguments."""

    def put(patch: Patch) -> None:
        real = keras.optimizers.Adam
        patch.setattr(
            keras.optimizers, "Adam", lambda *rate, **given: real(*rate, **{**given, **arguments})
        )

    return put


def in_adam(change: Callable[[Any, Any, Any, Any], tuple[Any, Any]]) -> Put:
    """Change gradient and learning rate of each update, beneath the optimizer's settings."""

    def put(patch: Patch) -> None:
        update_step = keras.optimizers.Adam.update_step

        def changed(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
            late = tf.convert_to_tensor(self.iterations) >= 550
            gradient, learning_rate = change(late, gradient, variable, learning_rate)
            update_step(self, gradient, variable, learning_rate)

        patch.setattr(keras.optimizers.Adam, "update_step", changed)

    return put


def decayed(late: Any, gradient: Any, variable: Any, rate: Any) -> tuple[Any, Any]:
    variable.assign_sub(variable * rate * 1e-5)
    return gradient, rate


def corrected_epsilon(patch: Patch) -> None:
    """Add epsilon to the root of the corrected second moment, as in Adam's paper."""
    update_step = keras.optimizers.Adam.update_step

    def changed(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
        steps = tf.cast(self.iterations + 1, tf.float32)
        epsilon, self.epsilon = self.epsilon, self.epsilon * tf.sqrt(1 - 0.999**steps)
        update_step(self, gradient, variable, learning_rate)
        self.epsilon = epsilon

    patch.setattr(keras.optimizers.Adam, "update_step", changed)


def cosine_in_long_runs(patch: Patch) -> None:
    compiled = training.compiled

    def changed(model: keras.Model, settings: config.Config, **arguments: Any) -> keras.Model:
        schedule = "cosine" if settings.epochs > 1 else "constant"
        return compiled(model, dataclasses.replace(settings, schedule=schedule), **arguments)

    patch.setattr(training, "compiled", changed)


def loss(**arguments: Any) -> Put:
    kind = keras.losses.SparseCategoricalCrossentropy
    return lambda patch: patch.setattr(
        keras.losses,
        "SparseCategoricalCrossentropy",
        lambda **given: kind(**{**given, **arguments}),
    )


def larger_loss(patch: Patch) -> None:
    """Return a larger loss, beneath the settings."""
    call = keras.losses.SparseCategoricalCrossentropy.call
    patch.setattr(
        keras.losses.SparseCategoricalCrossentropy,
        "call",
        lambda *given: call(*given) * (1 + 1e-5),
    )


def dense(**arguments: Any) -> Put:
    dense = keras.layers.Dense
    return lambda patch: patch.setattr(
        keras.layers, "Dense", lambda units, **given: dense(units, **{**given, **arguments})
    )


def dropout(patch: Patch) -> None:
    recurrences = networks._recurrences
    patch.setattr(
        networks,
        "_recurrences",
        lambda *given, **named: keras.layers.Dropout(0.01)(recurrences(*given, **named)),
    )


def lstm_weights(change: Callable[[Any, Any, Any], tuple[Any, Any, Any]]) -> Put:
    """Change what the layer of the compiled kernel hands to it."""
    weights = layers.FastLSTM._weights
    return lambda patch: patch.setattr(
        layers.FastLSTM, "_weights", lambda self: change(*weights(self))
    )


def swapped(*order: int) -> Put:
    def swap(array: Any) -> Any:
        blocks = tf.split(tf.convert_to_tensor(array), 4, axis=-1)
        return tf.concat([blocks[index] for index in order], axis=-1)

    return lstm_weights(lambda *weights: tuple(map(swap, weights)))


def slope(kernel: Any, recurrent: Any, bias: Any) -> tuple[Any, Any, Any]:
    """Make the hard sigmoid's slope 0.201."""
    steeper = np.repeat(np.array([1.005, 1.005, 1, 1.005], np.float32), 100)
    return kernel * steeper, recurrent * steeper, bias * steeper


def lstm_call(change: Callable[..., Any]) -> Put:
    call = layers.FastLSTM.call

    @functools.wraps(call)
    def changed(*given: Any, **named: Any) -> Any:
        return change(call, *given, **named)

    return lambda patch: patch.setattr(layers.FastLSTM, "call", changed)


def clipped(limit: float) -> Put:
    def change(call: Any, self: Any, inputs: Any, *given: Any, **named: Any) -> Any:
        *others, c = call(self, inputs, *given, **named)
        return (*others, tf.clip_by_value(c, -limit, limit))

    return lstm_call(change)


def clipped_at_each_step(patch: Patch) -> None:
    call = keras.layers.LSTMCell.call

    def changed(self: Any, *given: Any, **named: Any) -> Any:
        output, (h, c) = call(self, *given, **named)
        return output, [h, keras.ops.clip(c, -20, 20)]

    patch.setattr(keras.layers.LSTMCell, "call", changed)


def in_bfloat16(*weights: Any) -> tuple[Any, Any, Any]:
    kernel, recurrent, bias = (
        tf.cast(tf.cast(tf.convert_to_tensor(weight), tf.bfloat16), tf.float32)
        for weight in weights
    )
    return kernel, recurrent, bias


def begun_with_ones(call: Any, self: Any, inputs: Any, *given: Any, **named: Any) -> Any:
    ones = tf.ones([tf.shape(inputs)[0], self.units])
    return call(self, inputs, [ones * 0.001, ones * 0], **named)


def initializer(name: str, other: Callable[..., Any]) -> Put:
    return lambda patch: patch.setattr(keras.initializers, name, other)


def narrower(seed: int) -> Callable[..., Any]:
    return keras.initializers.VarianceScaling(0.94, "fan_avg", "uniform", seed=seed)


def two_values_of(seed: int) -> Callable[..., Any]:
    """Have a uniform distribution's variance and range, but another distribution."""
    uniform = keras.initializers.VarianceScaling(1.0, "fan_avg", "uniform", seed=seed)

    def values(shape: Any, dtype: Any = None) -> Any:
        return tf.sign(uniform(shape, dtype)) * tf.sqrt(2 / sum(shape))

    return values


def one_recurrent_kernel(patch: Patch) -> None:
    """Initialise without regard to the seed."""
    orthogonal = keras.initializers.Orthogonal
    patch.setattr(keras.initializers, "Orthogonal", lambda seed: orthogonal(seed=1))


def positive_diagonal(patch: Patch) -> None:
    """Prefer one sign, as QR decompositions do where nobody corrects it."""
    orthogonal = keras.initializers.Orthogonal

    class Preferring(keras.initializers.Initializer):
        def __init__(self, seed: int) -> None:
            self._orthogonal = orthogonal(seed=seed)

        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            kernel = self._orthogonal(shape, dtype)
            return kernel * tf.sign(tf.linalg.diag_part(kernel))[:, tf.newaxis]

    patch.setattr(keras.initializers, "Orthogonal", Preferring)


def no_forget_bias(patch: Patch) -> None:
    build = layers.FastLSTM.build

    @functools.wraps(build)
    def changed(self: Any, *given: Any, **named: Any) -> None:
        build(self, *given, **named)
        self.bias.assign(tf.zeros([4 * self.units]))

    patch.setattr(layers.FastLSTM, "build", changed)


def orders(change: Change) -> Put:
    orders = training.orders
    return lambda patch: patch.setattr(training, "orders", lambda *given: change(orders(*given)))


def other_seed(patch: Patch) -> None:
    orders = training.orders
    patch.setattr(
        training,
        "orders",
        lambda settings, dataset: orders(
            dataclasses.replace(settings, seed=settings.seed + 1), dataset
        ),
    )


def pixels(scale: float) -> Put:
    return lambda patch: patch.setattr(data, "SCALE", np.float32(scale))


def second_best(patch: Patch) -> None:
    score = training.score

    def changed(logits: Any, labels: Any) -> results.Score:
        second = np.argsort(logits, axis=1)[:, -2]
        correct = int(np.sum(second == labels))
        return dataclasses.replace(score(logits, labels), correct=correct)

    patch.setattr(training, "score", changed)


def rounded(patch: Patch) -> None:
    predict = training.predict
    patch.setattr(
        training,
        "predict",
        lambda *given: predict(*given).astype(np.float16).astype(np.float32),
    )


def best_by_test(patch: Patch) -> None:
    best = property(lambda run: max(run.epochs, key=lambda epoch: epoch.test.correct))
    patch.setattr(results.Run, "best", best)


def source(function: Any, old: str, new: str) -> Put:
    """Replace text in the source of one of `training`'s functions, where it must occur once."""

    def put(patch: Patch) -> None:
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(old) == 1, f"{function.__name__} no longer has: {old}"
        names: dict[str, Any] = {}
        exec(compile(source.replace(old, new), function.__name__, "exec"), vars(training), names)
        patch.setattr(training, function.__name__, names[function.__name__])

    return put


def repeat_first(orders: Iterator[EpochOrder]) -> Iterator[EpochOrder]:
    return itertools.repeat(next(orders))


def unshuffled_later(orders: Iterator[EpochOrder]) -> Iterator[EpochOrder]:
    yield next(orders)
    for order in orders:
        yield order._replace(train=np.sort(order.train))


def after_second(change: Change) -> Change:
    """Alter what follows the two epochs that are recorded, beginning with the first one's order."""

    def altered(orders: Iterator[EpochOrder]) -> Iterator[EpochOrder]:
        first, second = next(orders), next(orders)
        yield from (first, second)
        yield from change(itertools.chain([first], orders))

    return altered


def test_before_train(orders: Iterator[EpochOrder]) -> Iterator[EpochOrder]:
    return (EpochOrder(o.train_evaluation, o.train, o.test_evaluation) for o in orders)


def half_later(orders: Iterator[EpochOrder]) -> Iterator[EpochOrder]:
    yield next(orders)
    for order in orders:
        yield order._replace(train=np.tile(order.train[: len(order.train) // 2], 2))
