"""What a network confuses on a split, and where it is most confidently wrong."""

import dataclasses
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from lstm_mnist import data, training


class Mistake(NamedTuple):
    """A wrongly classified example."""

    position: int  # in the split, from 0
    image: NDArray[np.float32]  # [28, 28], in [0, 1]
    label: int
    predicted: int
    probability: float  # of the predicted class, by softmax


@dataclasses.dataclass(frozen=True)
class Mistakes:
    """A network's mistakes on a split."""

    confusion: NDArray[np.int64]  # [10, 10], numbers of images: true label by predicted label
    most_confident: tuple[Mistake, ...]  # the most confident first

    @property
    def count(self) -> int:
        """Return the number of wrongly classified images."""
        return int(self.confusion.sum() - self.confusion.trace())


def find(model: keras.Model, split: data.Split, *, most: int = 12) -> Mistakes:
    """Classify a split and return the confusions and the `most` most confident mistakes.

    `model` maps images [B, 28, 28] to logits [B, 10].
    """
    probabilities = training.probabilities(training.predict(model, split.pixels))
    labels = split.labels.astype(int)
    predicted = probabilities.argmax(axis=1)
    classes = probabilities.shape[1]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    return Mistakes(
        confusion,
        tuple(
            Mistake(
                position=int(position),
                image=data.scale(split.pixels[position]),
                label=int(labels[position]),
                predicted=int(predicted[position]),
                probability=float(confidence[position]),
            )
            for position in chosen
        ),
    )
