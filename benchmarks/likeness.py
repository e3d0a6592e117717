"""Fit the measures of an image's likeness to MNIST's digits: `python -m benchmarks.likeness`."""

import os
from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from benchmarks.drawn import others, shapes
from lstm_mnist import data
from lstm_mnist.digits import likeness, preprocessing
from lstm_mnist.system import files

if TYPE_CHECKING:
    from collections.abc import Callable

Images = NDArray[np.float32]

SEED, AXES, UNITS, EPOCHS = 0, 25, 128, 16
# Drawn images of each kind.
COUNT = 8_000
# The shares of the held-out images that may exceed each limit. Oddness detects more for its share.
EXCEEDED = (0.001, 0.007)


def main() -> None:
    """Write the package's file anew."""
    keras.utils.set_random_seed(SEED)
    dataset = data.load(os.environ.get("TFDS_DATA_DIR"))
    train, held_out = dataset.train, dataset.validation.images
    fitted = _fitted(train.images, train.labels)
    limits = [
        np.quantile([measure(image, fitted) for image in held_out], 1 - exceeded)
        for measure, exceeded in zip((likeness.unlikeness, likeness.oddness), EXCEEDED, strict=True)
    ]
    arrays = {name: array.astype(np.float16) for name, array in fitted._asdict().items()}
    arrays |= {"variances": fitted.variances, "limits": np.array(limits, np.float32)}
    with files.replacing(likeness.FILE) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _fitted(images: Images, labels: NDArray[np.integer]) -> likeness.Likeness:
    """Fit images [N, 28, 28] in [0, 1]; the limits are 0."""
    means, axes, variances = _gaussians(images, labels)
    hidden, output = _network(images, labels)
    return likeness.Likeness(means, axes, variances, hidden, output, np.zeros(2, np.float32))


def _gaussians(images: Images, labels: NDArray[np.integer]) -> list[NDArray[np.float32]]:
    means, axes, variances = [], [], []
    for digit in range(10):
        found = likeness.features(images[labels == digit])
        values, vectors = np.linalg.eigh(np.cov(found.T))
        means.append(found.mean(axis=0))
        axes.append(vectors[:, -AXES:].T)
        variances.append([*values[-AXES:], values[:-AXES].mean()])
    return [np.array(each, np.float32) for each in (means, axes, variances)]


def _network(images: Images, labels: NDArray[np.integer]) -> tuple[Images, Images]:
    """Train a layer of hidden units to tell other things from digits."""
    random = np.random.default_rng(SEED)
    digits = shapes.Digits(images, labels.astype(np.int64))
    makers: list[tuple[int, Callable[[], NDArray[np.float64]]]] = [
        (0, lambda: shapes.printed(str(random.integers(10)), 60, random)),
        (0, lambda: shapes.stroked(int(random.integers(10)), 60, random.uniform(2, 9), random)),
        (1, lambda: shapes.printed(str(random.choice(list(others.LETTERS))), 60, random)),
        (1, lambda: shapes.printed(str(random.choice(list(others.LETTERS))), 60, random)),
        (1, lambda: others.scribbled(random, 70)),
        (1, lambda: others.paired(digits, random)[0]),
        (1, lambda: others.drawn_thing(random, 70)),
    ]
    shown, odd = [images], [np.zeros(len(images))]
    for label, make in makers:
        shown.append(np.stack([_normalised(make()) for _ in range(COUNT)]))
        odd.append(np.full(COUNT, label))
    network = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(UNITS, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1),
        ]
    )
    network.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    inputs = np.concatenate(shown).reshape(-1, 784)
    network.fit(inputs, np.concatenate(odd), batch_size=256, epochs=EPOCHS, verbose=2)
    kernel, bias, output, last = network.get_weights()
    return np.vstack([kernel, bias]), np.append(output, last)


def _normalised(coverage: NDArray[np.float64]) -> Images:
    return preprocessing.normalise(np.pad(coverage, 2).astype(np.float32))


if __name__ == "__main__":
    main()
