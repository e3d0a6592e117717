"""Subtle regressions, put into the program for the life of a process."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import keras
import numpy as np

from lstm_mnist import config, data, networks, training
from lstm_mnist.order import EpochOrder
from lstm_mnist.recurrence import layers


def put(place: Any, name: str, value: Any) -> None:
    """Replace an attribute, for good."""
    mock.patch.object(place, name, value).start()


def adam(**arguments: Any) -> None:
    """Give the optimizer other arguments."""
    put(keras.optimizers, "Adam", functools.partial(keras.optimizers.Adam, **arguments))


def recipe(module: Any, function: str, **changes: Any) -> None:
    """Change settings of the Configs that a function is called with."""
    original = getattr(module, function)

    def changed(*given: Any, **named: Any) -> Any:
        other = [
            dataclasses.replace(each, **changes) if isinstance(each, config.Config) else each
            for each in given
        ]
        return original(*other, **named)

    put(module, function, changed)


def dataset(split: str, change: Callable[[data.Split], data.Split]) -> None:
    """Change a split after it was loaded and checked."""
    load = data.load

    def changed(*given: Any, **named: Any) -> data.Dataset:
        loaded = load(*given, **named)
        return loaded._replace(**{split: change(getattr(loaded, split))})

    put(data, "load", changed)


def one_in_fifty_wrong(split: data.Split) -> data.Split:
    """Give every fiftieth image the next digit's label."""
    labels = split.labels.copy()
    labels[::50] = (labels[::50] + 1) % 10
    return split._replace(labels=labels)


def shifted(split: data.Split) -> data.Split:
    """Shift the images to the right by one pixel."""
    return split._replace(pixels=np.roll(split.pixels, 1, axis=2))


def orders(change: Callable[[EpochOrder], EpochOrder]) -> None:
    """Change the order in which the examples of every epoch are fed."""
    original = training.orders

    def changed(*given: Any) -> Iterator[EpochOrder]:
        return map(change, original(*given))

    put(training, "orders", changed)


def half_the_last_batch(order: EpochOrder) -> EpochOrder:
    """Feed half of the last batch twice, and the other half not at all."""
    train = order.train.copy()
    train[-50:] = train[-100:-50]
    return order._replace(train=train)


def half_the_data(order: EpochOrder) -> EpochOrder:
    """Feed the first half of an epoch twice."""
    half = len(order.train) // 2
    return order._replace(train=np.tile(order.train[:half], 2))


def dropout() -> None:
    """Drop 5 % of what the dense layer reads."""
    recurrences = networks._recurrences
    put(
        networks,
        "_recurrences",
        lambda *given, **named: keras.layers.Dropout(0.05, seed=0)(recurrences(*given, **named)),
    )


def float16() -> None:
    """Round the logits of evaluations to float16."""
    predict = training.predict
    put(
        training,
        "predict",
        lambda *given: predict(*given).astype(np.float16).astype(np.float32),
    )


def all_right() -> None:
    """Count every prediction as correct."""
    score = training.score
    put(
        training,
        "score",
        lambda logits, labels: dataclasses.replace(score(logits, labels), correct=len(labels)),
    )


def no_bias(gate: int) -> None:
    """Leave one gate without its bias; gates are numbered in the order i, f, c, o."""
    weights = layers.FastLSTM._weights

    def changed(self: Any) -> Any:
        kernel, recurrent, bias = weights(self)
        kept = np.repeat(np.arange(4) != gate, self.units).astype(np.float32)
        return kernel, recurrent, bias * kept

    put(layers.FastLSTM, "_weights", changed)


SABOTAGES: dict[str, Callable[[], object]] = {
    "weight decay of 1e-3": lambda: adam(weight_decay=1e-3),
    "Adam's beta_2 0.9": lambda: adam(beta_2=0.9),
    "gradients clipped to a norm of 0.1": lambda: adam(clipnorm=0.1),
    "learning rate too high by 20 %": lambda: recipe(training, "compiled", learning_rate=0.012),
    "learning rate that does not fall": lambda: recipe(training, "compiled", schedule="constant"),
    "one training label in fifty wrong": lambda: dataset("train", one_in_fifty_wrong),
    "training images shifted by one pixel": lambda: dataset("train", shifted),
    "test images shifted by one pixel": lambda: dataset("test", shifted),
    "half the last batch replaced by the other half": lambda: orders(half_the_last_batch),
    "first half of each epoch fed twice": lambda: orders(half_the_data),
    "dropout of 0.05": dropout,
    "hard sigmoid gates": lambda: recipe(
        networks, "_recurrent_layer", recurrent_activation="hard_sigmoid"
    ),
    "the forget gate's bias lost": lambda: no_bias(1),
    "90 units": lambda: recipe(networks, "_recurrent_layer", units=90),
    "logits rounded to float16": float16,
    "every image counted as right": all_right,
}
