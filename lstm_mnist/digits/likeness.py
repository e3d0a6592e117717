"""How much an image resembles MNIST's digits: to choose between readings, and to doubt one.

`unlikeness` has a Gaussian for each digit, whose training images lie near a plane of a few
dimensions at half their resolution (M. Tipping, C. Bishop, "Probabilistic Principal Component
Analysis", 1999). `oddness` is a small network that was shown digits, and drawn letters, scribbles,
pairs and shapes. `python -m benchmarks.likeness` fits both.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

Pixels = NDArray[np.float32]

DOUBTS = ("several figures", "unlike MNIST")
# As a share of the highest figure's height.
MIN_FIGURE = 0.6
# Thresholds: of three small figures in a row the blurred edges may touch, and of a thin stroke the
# middle may vanish.
FAINT, STRONG = 0.3, 0.6
FILE = Path(__file__).parents[1] / "model" / "likeness.npz"


class Likeness(NamedTuple):
    """The fitted parameters."""

    means: NDArray[np.float32]  # [10, 196], of each digit
    axes: NDArray[np.float32]  # [10, q, 196], orthonormal
    variances: NDArray[np.float32]  # [10, q + 1]: along the axes, and across them
    hidden: NDArray[np.float32]  # [785, units], the last row being the bias
    output: NDArray[np.float32]  # [units + 1], the last one being the bias
    limits: NDArray[np.float32]  # [2], of unlikeness and oddness: few images of MNIST exceed them


def features(images: Pixels) -> Pixels:
    """Return images [..., 28, 28] at half their resolution, [..., 196]."""
    halves = images.reshape(*images.shape[:-2], 14, 2, 14, 2).mean(axis=(-3, -1))
    return halves.reshape(*images.shape[:-2], 196)


def unlikeness(image: Pixels, model: Likeness | None = None) -> float:
    """Return how far an image [28, 28] is from the nearest digit; about 1 for MNIST's own."""
    model = model or load()
    away = features(image) - model.means
    along = np.einsum("dqf,df->dq", model.axes, away)
    across = np.maximum((away**2).sum(axis=1) - (along**2).sum(axis=1), 0)
    squares = (along**2 / model.variances[:, :-1]).sum(axis=1) + across / model.variances[:, -1]
    return float(np.sqrt(squares.min() / away.shape[1]))


def oddness(image: Pixels, model: Likeness | None = None) -> float:
    """Return the logit of the probability that an image [28, 28] is no digit."""
    model = model or load()
    hidden = np.maximum(image.ravel() @ model.hidden[:-1] + model.hidden[-1], 0)
    return float(hidden @ model.output[:-1] + model.output[-1])


def doubt(image: Pixels) -> str | None:
    """Return why an image [28, 28] is hardly one digit (one of `DOUBTS`), or None."""
    if _figures(image, FAINT) > 1 or _figures(image, STRONG) > 2:
        return DOUBTS[0]
    if (np.array([unlikeness(image), oddness(image)]) > load().limits).any():
        return DOUBTS[1]
    return None


def _figures(image: Pixels, threshold: float) -> int:
    """Count the figures in separate columns, or in separate rows if those are more."""
    labels, _ = scipy.ndimage.label(image > threshold, np.ones((3, 3)))
    boxes = scipy.ndimage.find_objects(labels)
    highest = max((rows.stop - rows.start for rows, _ in boxes), default=0)
    high = [box for box in boxes if box[0].stop - box[0].start >= MIN_FIGURE * highest]
    return max(_separate([box[axis] for box in high]) for axis in (0, 1))


def _separate(spans: Sequence[slice]) -> int:
    """Count the groups of ranges that overlap."""
    count, end = 0, -1
    for span in sorted(spans, key=lambda span: span.start):
        count += span.start >= end
        end = max(end, span.stop)
    return count


@functools.cache
def load() -> Likeness:
    """Load the parameters that are part of the package."""
    with np.load(FILE, allow_pickle=False) as stored:
        return Likeness(*(stored[name].astype(np.float32) for name in Likeness._fields))
