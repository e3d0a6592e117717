"""Which of a picture's strokes may be the digit."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

# Shares of the longest component's length: shorter ones are specks, closer ones count as one.
SPECK, GAP = 0.25, 0.03
# What touches the border counts as smaller by this factor.
TOUCHING = 0.3
# Shares of the digit's height: a title is less high, and farther above or below the digit.
LOW, APART = 0.3, 0.2
# Shares: digits side by side have less of their columns in common, and are at least this high
# beside the highest.
OVERLAP, MIN_HEIGHT = 0.5, 0.5
# A component around another one of at least this share of its length is a frame.
FRAMED = 0.25
# Thresholds that differ by a smaller share give the same figures.
SAME = 0.15
# The share of its box that a rectangle fills, and the share if something sticks out of it; and
# how much of the area outside that something fills at most.
RECTANGLE, TRIMMED, SPARSE = 0.93, 0.995, 0.1
# Costs of readings, where 1 is the unlikeness of an image of MNIST: what touches the border was
# cleared away; thin lines were; the figure is the hole of another one; it touches the border.
CLEARED, OPENED, COUNTER, CUT = 0.3, 0.3, 1.0, 0.3

Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]
Boxes = NDArray[np.int_]  # [N, 4]: top, bottom, left, right
Panel = tuple[int, int, int, int]  # the inside of a rectangle: top, bottom, left, right
# A box is within another one if its edges times these are greater.
SIGNS = np.array([1, -1, 1, -1])


class Figure(NamedTuple):
    """What may be the digit."""

    strokes: Pixels  # [H, W] in [0, 1]
    contrast: float
    cost: float  # of this reading, from the constants above
    panel: Panel | None


def figures(ink: Pixels) -> Iterator[Figure]:
    """Yield what may be the digit in ink [H, W], with the cost of each reading."""
    half = _level(ink) / 2
    remaining = ink
    for cleared in (False, True):
        clutter = np.zeros(ink.shape, bool)
        thresholds = [half, _otsu(remaining)]
        for threshold in thresholds[: 1 + (abs(thresholds[1] / half - 1) > SAME)]:
            mask = remaining > threshold
            if not mask.any():
                continue
            parts = _parts(mask)
            clutter |= parts.clutter
            # What is less than half as dark as the strokes is a shade, not ink.
            darker = parts.digit & (remaining > _level(remaining[parts.digit]) / 2)
            digit = _parts(darker).digit
            for strokes, cost in ((digit, 0.0), (_opened(digit), OPENED)):
                if strokes is None:
                    continue
                cost += CLEARED * cleared + COUNTER * _is_counter(strokes, mask)
                cost += CUT * bool(border(strokes).any())
                level = _level(remaining[strokes])
                yield Figure(_levelled(remaining, strokes, level), level, cost, parts.panel)
        if not clutter.any():
            return
        remaining = np.where(_grown(clutter, 2), 0, remaining)
        if remaining.max() < half / 4:
            return


def side_by_side(strokes: Pixels) -> list[Pixels]:
    """Return the figures side by side in strokes [H, W], from left to right."""
    labels, _ = scipy.ndimage.label(strokes >= 0.5, np.ones((3, 3)))
    parts = [
        (columns, [label])
        for label, (_, columns) in enumerate(scipy.ndimage.find_objects(labels), 1)
    ]
    merged: list[tuple[slice, list[int]]] = []
    for columns, numbers in sorted(parts, key=lambda each: each[0].start):
        if merged and _shared(columns, merged[-1][0]) > OVERLAP:
            last, others = merged.pop()
            columns = slice(last.start, max(last.stop, columns.stop))
            numbers = [*others, *numbers]
        merged.append((columns, numbers))
    masks = [np.isin(labels, numbers) for _, numbers in merged]
    heights = [mask[box(mask)].shape[0] for mask in masks]
    return [
        # With the paler pixels around them, but not their neighbours'.
        np.where(_grown(mask, 2) & (mask | (labels == 0)), strokes, 0)
        for mask, height in zip(masks, heights, strict=True)
        if height >= MIN_HEIGHT * max(heights)
    ]


def _shared(one: slice, other: slice) -> float:
    """Return the share of the narrower of two ranges that lies in both."""
    common = min(one.stop, other.stop) - max(one.start, other.start)
    return common / min(one.stop - one.start, other.stop - other.start)


def _otsu(values: Pixels) -> float:
    """Return the threshold between two classes of the least variance (N. Otsu, 1979)."""
    counts, edges = np.histogram(values, 128)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    total = np.cumsum(counts * centres)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(edges[1:][np.nan_to_num(between[:-1]).argmax()])


def _level(ink: Pixels) -> float:
    """Return the ink of the strokes: the median, because a few pixels may stand out."""
    return float(np.median(ink[ink >= ink.max() / 2]))


def _is_counter(digit: Mask, mask: Mask) -> bool:
    """Return whether a figure in a mask is really the hole in another that is no rectangle."""
    around = _grown(digit, 1) & ~mask & ~_filled(digit)
    labels, _ = scipy.ndimage.label(~mask)
    ground = np.bincount(labels[around], minlength=2)[1:].argmax() + 1
    shape = labels == ground
    if border(shape).any() or not shape.any():
        return False
    rows, columns = box(shape)
    return _filled(shape)[rows, columns].mean() < RECTANGLE


def _filled(mask: Mask) -> Mask:
    """Return a mask without its holes, in a third of the time of SciPy's binary_fill_holes."""
    place = box(mask)
    ground, _ = scipy.ndimage.label(~np.pad(mask[place], 1))
    filled = np.zeros_like(mask)
    filled[place] = (ground != ground[0, 0])[1:-1, 1:-1]
    return filled


def _grown(mask: Mask, by: int) -> Mask:
    """Return a mask grown by so many rows and columns on every side."""
    return scipy.ndimage.maximum_filter(mask.view(np.uint8), 2 * by + 1).view(bool)


def box(mask: Mask) -> tuple[slice, slice]:
    """Return the rows and columns that a mask takes up."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


class _Parts(NamedTuple):
    """What a mask shows."""

    digit: Mask
    clutter: Mask  # what touches the border
    panel: Panel | None


def _parts(mask: Mask) -> _Parts:
    labels = _labelled(mask)
    boxes = np.array(
        [
            (rows.start, rows.stop, columns.start, columns.stop)
            for rows, columns in scipy.ndimage.find_objects(labels)
        ]
    )
    heights, widths = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    lengths = np.maximum(heights, widths)
    height, width = mask.shape
    touching = (boxes[:, [0, 2]] == 0).any(axis=1) | (boxes[:, [1, 3]] == (height, width)).any(
        axis=1
    )
    main = int((np.sqrt(heights * widths) * np.where(touching, TOUCHING, 1)).argmax())
    panel = _panel(labels, boxes, int(lengths.argmax()))
    kept = np.ones(len(boxes), bool)
    while (inner := _inside(labels, boxes, lengths, main)) is not None:
        kept, main = _within(boxes, boxes[main]), inner
    kept &= (lengths >= SPECK * lengths[main]) & (touching <= touching[main])
    kept &= ~_around(boxes, boxes[main]) & ~_titles(boxes, boxes[main])
    return _Parts(
        np.isin(labels, 1 + np.flatnonzero(kept)),
        np.isin(labels, 1 + np.flatnonzero(touching)),
        panel,
    )


def _labelled(mask: Mask) -> Labels:
    """Number the components of a mask; ones that are close together share a number."""
    gap = round(GAP * max(mask[box(mask)].shape) / 2)
    near = _grown(mask, gap) if gap else mask
    labels, _ = scipy.ndimage.label(near, np.ones((3, 3)))
    return labels * mask


def _around(boxes: Boxes, place: NDArray[np.int_]) -> Mask:
    """Return which boxes lie around a box."""
    return np.asarray((boxes * SIGNS < place * SIGNS).all(axis=1))


def _within(boxes: Boxes, place: NDArray[np.int_]) -> Mask:
    """Return which boxes lie within a box."""
    return np.asarray((boxes * SIGNS > place * SIGNS).all(axis=1))


def _titles(boxes: Boxes, place: NDArray[np.int_]) -> Mask:
    """Return which boxes are low and well above or below a box."""
    height = place[1] - place[0]
    apart = np.maximum(place[0] - boxes[:, 1], boxes[:, 0] - place[1])
    low = boxes[:, 1] - boxes[:, 0] < LOW * height
    return np.asarray(low & (apart > APART * height))


def _inside(labels: Labels, boxes: Boxes, lengths: NDArray[np.int_], main: int) -> int | None:
    """Return the largest component within a hole of another one, possibly its frame, or None."""
    inner = _within(boxes, boxes[main]) & (lengths >= FRAMED * lengths[main])
    if not inner.any():
        return None
    largest = int(np.where(inner, lengths, 0).argmax())
    filled = _filled(labels == main + 1)
    return largest if filled[labels == largest + 1].all() else None


def _panel(labels: Labels, boxes: Boxes, largest: int) -> Panel | None:
    """Return the inside of a component that is a rectangle (a frame or a background), or None."""
    top, bottom, left, right = (int(edge) for edge in boxes[largest])
    filled = _filled(labels[top:bottom, left:right] == largest + 1)
    rows, columns = _trimmed(filled) or (slice(0, bottom - top), slice(0, right - left))
    rectangle = filled[rows, columns]
    if rectangle.mean() < RECTANGLE:
        return None
    sides = rectangle.shape
    if min(sides) < max(16, max(sides) / 2) or sides == labels.shape:
        return None
    inset = max(1, round(0.02 * max(sides)))
    return (
        top + rows.start + inset,
        top + rows.stop - inset,
        left + columns.start + inset,
        left + columns.stop - inset,
    )


def _trimmed(filled: Mask) -> tuple[slice, slice] | None:
    """Return a rectangle without the little that sticks out, such as a plot's ticks, or None."""
    rows, columns = (np.flatnonzero(filled.mean(axis=axis) > 0.5) for axis in (1, 0))
    if not (rows.size and columns.size):
        return None
    place = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inner = filled[place]
    outside = filled.size - inner.size
    if inner.mean() < TRIMMED or filled.sum() - inner.sum() > SPARSE * outside:
        return None
    return place


def _opened(mask: Mask) -> Mask | None:
    """Return the thick parts of a mask, without lines that are thin beside them."""
    place = box(mask)
    strokes = np.pad(mask[place], 1)
    depth = scipy.ndimage.distance_transform_edt(strokes)
    radius = 0.4 * np.quantile(depth[strokes], 0.95)
    if radius < 1.5:
        return None
    thick = strokes & (scipy.ndimage.distance_transform_edt(depth <= radius) <= radius + 1)
    if thick.sum() == strokes.sum():
        return None
    opened = np.zeros_like(mask)
    opened[place] = thick[1:-1, 1:-1]
    return _parts(opened).digit


def _levelled(ink: Pixels, chosen: Mask, level: float) -> Pixels:
    """Return the chosen strokes, [H, W] in [0, 1]."""
    # Steeper around the edge of the strokes, so that noise, shades and artefacts vanish.
    steep = np.clip(2 * ink / level - 0.5, 0, 1)
    return np.where(_grown(chosen, 2), steep, 0).astype(np.float32)


def border(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the outermost pixels [N] of an array [H, W]."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
