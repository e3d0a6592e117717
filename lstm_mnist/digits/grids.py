"""The grid of a plot, taken out of a picture."""

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

# The fewest lines of a grid (a frame has four), and the greatest width of a line in pixels.
MIN_LINES, MAX_WIDTH = 5, 2
# Pixels of a picture's shorter side; in smaller pictures strokes are as thin as lines.
MIN_SIDE = 100
# How far most of a line differs from what is beside it, as a share of the picture's range.
VISIBLE = 0.1
# Or the share of the contrast beside a line that the line hides, and the least share of the line
# that each of the two shades must take up.
HIDDEN, MIN_SHARE = 0.3, 0.02

Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]


def without(grey: Pixels) -> Pixels | None:
    """Return a picture [H, W] whose thin straight lines are filled in, or None without a grid.

    The lines run along rows and columns from side to side.
    """
    if min(grey.shape) < MIN_SIDE:
        return None
    count = 0
    for _ in ("rows", "columns"):
        beside = scipy.ndimage.median_filter(grey, (2 * MAX_WIDTH + 1, 1), mode="nearest")
        lines = _lines(grey, beside)
        _, found = scipy.ndimage.label(lines)
        if lines.sum() <= MAX_WIDTH * found:
            grey = np.where(lines[:, np.newaxis], beside, grey)
            count += found
        grey = grey.T
    return grey if count >= MIN_LINES else None


def _lines(grey: Pixels, beside: Pixels) -> Mask:
    """Return which rows are lines, [H], given what lies beside them."""
    low, high = beside.min(), beside.max()
    visible = np.median(np.abs(grey - beside), axis=1) > VISIBLE * (high - low)
    # A line of the ground's colour shows only where it cuts strokes.
    light = beside > (low + high) / 2
    share = light.mean(axis=1)
    both = np.minimum(share, 1 - share) >= MIN_SHARE
    hidden = _contrast(grey, light) < (1 - HIDDEN) * _contrast(beside, light)
    return np.asarray(visible | (both & hidden))


def _contrast(values: Pixels, light: Mask) -> Pixels:
    """Return by how much each row's light pixels are lighter than its others, [H], or NaN."""
    with np.errstate(invalid="ignore"):
        means = [(values * mask).sum(axis=1) / mask.sum(axis=1) for mask in (light, ~light)]
    return np.asarray(means[0] - means[1])
