"""Show that PyTorch and JAX do the same work as this project: `python -m benchmarks.equal_work`.

They begin with the recorded initial weights and are fed the recorded first ten batches. Their gates
are sigmoids, the recorded ones hard sigmoids: so they are compared with a reference in float64,
which with hard sigmoids reproduces the recording. PyTorch's Adam adds epsilon elsewhere than
TensorFlow 1's, which is no less work; its reference does the same.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from benchmarks import contenders
from lstm_mnist import data, recording, tensorflow1
from lstm_mnist.config import Config
from lstm_mnist.recording import BATCH_SIZE, Check

# Contenders, and whether their Adam adds epsilon to the corrected root.
PEERS = {"pytorch": True, "jax_scan": False}
STEPS = 10
# The bounds of `verification` for this project's own float32.
STATE_BOUND, LOSS_BOUND = 1e-6, 3e-4

Array = NDArray[Any]  # of float64


class Gate(NamedTuple):
    """A gate's activation, and its slope as a function of its value."""

    activation: Callable[[Array], Array]
    slope: Callable[[Array], Array]


SIGMOID = Gate(lambda x: 1 / (1 + np.exp(-x)), lambda y: y * (1 - y))
HARD_SIGMOID = Gate(tensorflow1.hard_sigmoid, lambda y: 0.2 * ((y > 0) & (y < 1)))


class Reference:
    """The script's network and its training in float64."""

    def __init__(
        self, weights: Mapping[str, NDArray[Any]], gate: Gate, *, paper_epsilon: bool = False
    ) -> None:
        self._adam = tensorflow1.Adam([*weights.values()], 0, paper_epsilon=paper_epsilon)
        self._names = tuple(weights)
        self._gate = gate

    def outputs(self, images: NDArray[np.float32]) -> tuple[Array, Array, Array]:
        """Return the final states h and c [B, 100] and the logits [B, 10]."""
        weights = dict(zip(self._names, self._adam.weights, strict=True))
        (h, c), logits = tensorflow1.lstm(weights, images, self._gate.activation)
        return h, c, logits

    def train(self, images: NDArray[np.float32], labels: NDArray[np.uint8]) -> None:
        """Take a step."""
        self._adam.step(self.gradients(images, labels))

    def gradients(self, images: NDArray[np.float32], labels: NDArray[np.uint8]) -> list[Array]:
        """Return the mean loss's gradients by kernel, recurrent kernel, bias and dense weights."""
        kernel, recurrent, bias, dense_kernel, dense_bias = self._adam.weights
        rows = images.astype(np.float64).transpose(1, 0, 2)
        h = c = np.zeros((len(images), len(recurrent)))
        steps = []
        for row in rows:
            sums = np.split(row @ kernel + h @ recurrent + bias, 4, axis=1)
            i, f, o = (self._gate.activation(sums[index]) for index in (0, 1, 3))
            new, before = np.tanh(sums[2]), (h, c)
            c = f * c + i * new
            h = o * np.tanh(c)
            steps.append((row, *before, i, f, new, o, c))
        d_logits = softmax(c @ dense_kernel + dense_bias, axis=1)
        d_logits[np.arange(len(labels)), labels] -= 1
        d_logits /= len(labels)
        d_dense = (c.T @ d_logits, d_logits.sum(axis=0))
        d_h, d_c = np.zeros_like(h), d_logits @ dense_kernel.T
        d_kernel, d_recurrent, d_bias = map(np.zeros_like, (kernel, recurrent, bias))
        for row, h, before, i, f, new, o, c in reversed(steps):
            d_c = d_c + d_h * o * (1 - np.tanh(c) ** 2)
            slopes = [self._gate.slope(gate) for gate in (i, f, o)]
            d_sums = np.concatenate(
                [
                    d_c * new * slopes[0],
                    d_c * before * slopes[1],
                    d_c * i * (1 - new**2),
                    d_h * np.tanh(c) * slopes[2],
                ],
                axis=1,
            )
            d_kernel += row.T @ d_sums
            d_recurrent += h.T @ d_sums
            d_bias += d_sums.sum(axis=0)
            d_h, d_c = d_sums @ recurrent.T, d_c * f
        return [d_kernel, d_recurrent, d_bias, *d_dense]


def loss(logits: NDArray[Any], labels: NDArray[np.uint8]) -> float:
    """Return the mean cross-entropy of logits [B, 10]."""
    logarithms = log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    return float(-np.mean(logarithms[np.arange(len(labels)), labels]))


def checks(trace: recording.Trace, dataset: data.Dataset) -> Iterator[Check]:
    """Compare the peers with the reference over a trace's first steps."""
    config = Config(seed=trace.seed, batch_size=BATCH_SIZE)
    order = next(contenders.orders(config, dataset))[:STEPS]
    weights = trace.weights(0)
    for name, paper_epsilon in PEERS.items():
        peer = importlib.import_module(f"benchmarks.contenders.{name}").Contender(config, dataset)
        label = contenders.LABELS[name]
        reference = Reference(weights, SIGMOID, paper_epsilon=paper_epsilon)
        peer.set_weights(weights)
        losses: tuple[list[float], list[float]] = ([], [])
        for step, batch in enumerate(order):
            images = data.scale(dataset.train.pixels[batch])
            labels = dataset.train.labels[batch]
            ours, expected = peer.outputs(images), reference.outputs(images)
            if step == 0:
                for part, actual, target in zip(("h", "c", "logits"), ours, expected, strict=True):
                    yield Check.close(f"{label}: first batch's {part}", actual, target, STATE_BOUND)
            for side, (*_, logits) in zip(losses, (ours, expected), strict=True):
                side.append(loss(logits, labels))
            peer.train(batch[np.newaxis])
            reference.train(images, labels)
        yield Check.close(f"{label}: losses of {STEPS} steps", losses[0], losses[1], LOSS_BOUND)


def main() -> None:
    """Print the table; exit with 1 if a peer does other work."""
    rows = list(checks(recording.load_trace(recording.SHIPPED_TRACE), data.load()))
    for check in rows:
        verdict = "ok" if check.passed else "FAILED"
        print(f"{check.quantity:30} {check.difference:10.1e} {check.bound:8.0e}  {verdict}")
    raise SystemExit(0 if all(check.passed for check in rows) else 1)


if __name__ == "__main__":
    main()
