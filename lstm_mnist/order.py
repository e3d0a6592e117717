"""The order in which TensorFlow 1's `next_batch` feeds the examples of a split."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class EpochOrder(NamedTuple):
    """Which examples one epoch's three passes feed, in order: indices into the splits."""

    train: NDArray[np.int64]
    train_evaluation: NDArray[np.int64]
    test_evaluation: NDArray[np.int64]


def epoch_orders(
    seed: int, *, train_size: int, test_size: int, batch_size: int
) -> Iterator[EpochOrder]:
    """Yield the order of every epoch, as `next_batch` under `np.random.seed(seed)` feeds it.

    A pass feeds the whole batches that fit into the split; what is left over begins the next pass.
    """
    random = np.random.RandomState(seed)
    train, test = _Stream(train_size, random), _Stream(test_size, random)
    train_pass = train_size - train_size % batch_size
    test_pass = test_size - test_size % batch_size
    while True:
        yield EpochOrder(train.take(train_pass), train.take(train_pass), test.take(test_pass))


class _Stream:
    """The endless sequence of a split's examples that `next_batch` cuts into batches."""

    def __init__(self, size: int, random: np.random.RandomState) -> None:
        self._random = random
        self._order = np.arange(size)
        self._rest = self._order[:0]

    def take(self, count: int) -> NDArray[np.int64]:
        parts = [self._order[:0]]  # a pass may have no batch at all
        while count > 0:
            if not len(self._rest):
                self._shuffle()
            part, self._rest = self._rest[:count], self._rest[count:]
            count -= len(part)
            parts.append(part)
        return np.concatenate(parts)

    def _shuffle(self) -> None:
        # A fresh permutation of the already shuffled examples, as `next_batch` draws it.
        permutation = np.arange(len(self._order))
        self._random.shuffle(permutation)
        self._order = self._rest = self._order[permutation]
