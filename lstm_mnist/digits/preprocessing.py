"""A user's picture made into an image like MNIST's.

MNIST's authors size-normalised NIST's digits into a box of 20x20 pixels, keeping the aspect ratio,
with grey levels from anti-aliasing, and put the centre of mass into the centre of 28x28 pixels
(Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"). In their images the
longer side of the box is 20 and the centre of mass lies within half a pixel of (14, 14).

Nothing says where in a picture the digit is, or whether it is darker than its ground. So a picture
is read in several ways, and the image that is most like MNIST's is taken:

1. `_grey` reduces its colours to the axis along which they differ most.
2. `_inks` tells strokes from their ground: dark or light ones, on an even or an uneven ground,
   with or without a grid.
3. `figures.figures` drops what is not the digit: specks, frames, titles, what touches the border.
4. `normalise` gives what is left MNIST's size and place.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lstm_mnist.digits import decoding, figures, grids, likeness
from lstm_mnist.digits.decoding import Pixels
from lstm_mnist.system import files
from lstm_mnist.system.errors import PictureError

SIZE, BOX = 28, 20
BOX_COLOUR = (220, 40, 40)
MAX_PIXELS = 2**24
# In pixels of the box; thinner strokes are thickened.
MIN_STROKE_WIDTH = 1.5
# Costs of readings, where 1 is the unlikeness of an image of MNIST: strokes as light as the border;
# a part of the picture; half the contrast of the strongest reading; a grid taken for strokes.
INVERTED, IN_PANEL, FAINT, GRID = 0.6, 0.1, 0.3, 0.6
# And the cost of less ink than nearly all images of MNIST have, where a full pixel has 1.
MIN_INK, EMPTY = 25.0, 1.0
# Hardly any image has a smaller unlikeness.
LEAST = 0.5
# Contrast is relative to the ground, unless the ground is darker than this.
MIN_GROUND = 0.3
# The least share of the variance that strokes explain in their box and around it, as far as AROUND
# times its longer side. Hardly any digit has less; most photographs of other things do.
MIN_CLARITY, AROUND, UNCLEAR = 0.7, 0.15, "unclear strokes"
# As a share of the range: an uneven ground that differs by less counts as even.
SAME_GROUND = 0.1


class Digit(NamedTuple):
    """A possible digit of a picture."""

    image: Pixels  # [28, 28] in [0, 1]
    box: NDArray[np.int_]  # [4]: left, top, right, bottom, in pixels of the picture
    clarity: float  # in [0, 1]: see `_clarity`

    @property
    def doubt(self) -> str | None:
        """Return why this is hardly one digit (`UNCLEAR` or one of `likeness.DOUBTS`), or None."""
        return UNCLEAR if self.clarity < MIN_CLARITY else likeness.doubt(self.image)


class _Reading(NamedTuple):
    """One way to read a picture."""

    digits: list[Digit]
    contrast: float
    cost: float  # without that of faintness


def digits(
    file: Path | IO[bytes],
    max_pixels: int = MAX_PIXELS,
    *,
    many: bool = False,
    formats: Collection[str] = decoding.ALL_FORMATS,
) -> list[Digit]:
    """Return the digits of a picture file: all its strokes as one, or `many` side by side.

    Their images are bright on dark, like MNIST's. An animation counts as its first picture. Raises
    PictureError, which does not name the file.
    """
    colours, scale = decoding.decode(file, max_pixels, formats)
    readings = list(_readings(colours, many))
    if not readings:
        raise PictureError("shows no digit: it has one colour")
    strongest = max(reading.contrast for reading in readings)
    best = min(readings, key=lambda each: each.cost + FAINT * np.log2(strongest / each.contrast))
    return [each._replace(box=(scale * each.box).round().astype(int)) for each in best.digits]


def write(path: Path, image: Pixels) -> None:
    """Write an image [H, W] in [0, 1] as a picture of 8-bit grey levels. Raises OutputError."""
    with files.replacing(path) as temporary:
        Image.fromarray((255 * image).round().astype("uint8")).save(temporary)


def write_boxes(path: Path, picture: Path, boxes: Iterable[list[int]]) -> None:
    """Write a reduced picture with boxes around its digits. Raises OutputError, PictureError."""
    colours, scale = decoding.decode(picture, MAX_PIXELS)
    *shades, opacity = np.moveaxis(colours, -1, 0)
    # On white paper; 16 bits of grey may use little of their range.
    paper = [shade + 1 - opacity for shade in shades] or [opacity / opacity.max()] * 3
    image = Image.fromarray((255 * np.stack(paper, axis=-1)).round().astype(np.uint8))
    brush = ImageDraw.Draw(image)
    for box in boxes:
        brush.rectangle([edge / scale for edge in box], outline=BOX_COLOUR, width=2)
    with files.replacing(path) as temporary:
        image.save(temporary, "PNG")


def _readings(colours: Pixels, many: bool, *, outermost: bool = True) -> Iterator[_Reading]:
    """Yield the ways to read colours [H, W, C], and the rectangles within them."""
    panels, best = set(), np.inf
    for ink, against in sorted(_inks(_grey(colours)), key=lambda each: each[1]):
        if against + LEAST > best:
            break
        for figure in figures.figures(ink):
            if figure.panel:
                panels.add(figure.panel)
            parts = figures.side_by_side(figure.strokes) if many else [figure.strokes]
            digits = [
                Digit(normalise(part), _box(part), _clarity(ink, figure.strokes, part))
                for part in parts
            ]
            cost = against + figure.cost
            cost += float(np.mean([likeness.unlikeness(each.image) for each in digits]))
            cost += EMPTY * any(each.image.sum() < MIN_INK for each in digits)
            best = min(best, cost)
            yield _Reading(digits, figure.contrast, cost)
    if outermost:
        for top, bottom, left, right in panels:
            for inner in _readings(colours[top:bottom, left:right], many, outermost=False):
                corner = (left, top, left, top)
                digits = [each._replace(box=each.box + corner) for each in inner.digits]
                yield _Reading(digits, inner.contrast, inner.cost + IN_PANEL)


def _box(strokes: Pixels) -> NDArray[np.int_]:
    rows, columns = figures.box(strokes >= 0.5)
    return np.array([columns.start, rows.start, columns.stop, rows.stop])


def _clarity(ink: Pixels, strokes: Pixels, part: Pixels) -> float:
    """Return which share of the ink's variance, in and around a part of the strokes, it explains.

    All arrays are [H, W]. The other parts are left out.
    """
    rows, columns = figures.box(part >= 0.5)
    margin = 1 + round(AROUND * max(rows.stop - rows.start, columns.stop - columns.start))
    near = tuple(slice(max(0, span.start - margin), span.stop + margin) for span in (rows, columns))
    is_part, is_ground = part[near] >= 0.5, strokes[near] < 0.5
    counted = is_part | is_ground
    if not is_ground.any() or np.ptp(ink[near][counted]) == 0:
        return 0.0
    return float(np.corrcoef(is_part[counted], ink[near][counted])[0, 1] ** 2)


def _grey(colours: Pixels) -> Pixels:
    """Reduce colours [H, W, C] to the axis along which they differ most, [H, W] in [0, 1]."""
    flat = colours.reshape(-1, colours.shape[-1])
    _, vectors = np.linalg.eigh(np.cov(flat.T).reshape(flat.shape[1], -1))
    axis = vectors[:, -1]
    grey = colours @ (axis * (1 if axis.sum() >= 0 else -1)).astype(np.float32)
    grey -= min(grey.min(), 0)
    return grey / grey.max()


def _inks(grey: Pixels) -> Iterator[tuple[Pixels, float]]:
    """Yield how far each pixel [H, W] is from a ground, and what such a reading costs."""
    without = grids.without(grey)
    if without is not None:
        yield from _inks_on_grounds(without)
    for ink, cost in _inks_on_grounds(grey):
        yield ink, cost + GRID * (without is not None)


def _inks_on_grounds(grey: Pixels) -> Iterator[tuple[Pixels, float]]:
    """Do as `_inks` does, without looking for a grid."""
    low, high = grey.min(), grey.max()
    border = float(np.median(figures.border(grey)))
    for value, edge in ((grey, border), (low + high - grey, low + high - border)):
        # Dark strokes on a light ground, from here on.
        cost = INVERTED if edge < (low + high) / 2 else 0.0
        even, uneven = max(edge, np.quantile(value, 0.8)), _local_ground(value)
        alike = np.abs(uneven - even).max() < SAME_GROUND * (high - low)
        for ground in (even,) if alike else (even, uneven):
            ink = np.clip(ground - value, 0, None) / np.maximum(ground, MIN_GROUND)
            if ink.max() > 0:
                yield ink.astype(np.float32), cost


def _local_ground(value: Pixels) -> Pixels:
    """Return the light ground [H, W] around dark strokes: a closing by a wider window."""
    height, width = value.shape
    scale = 64 / max(height, width, 64)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(value).resize(size, Image.Resampling.BOX))
    closed = scipy.ndimage.grey_closing(small, min(19, max(size) // 3 + 1), mode="nearest")
    smooth = scipy.ndimage.uniform_filter(closed, 7, mode="nearest")
    return np.asarray(Image.fromarray(smooth).resize((width, height), Image.Resampling.BILINEAR))


def normalise(ink: Pixels) -> Pixels:
    """Return strokes [H, W] in [0, 1] of any size with MNIST's place and size, [28, 28]."""
    strokes = _cropped(_thickened(_cropped(ink)))
    scale = BOX / max(strokes.shape)
    height, width = (max(1, round(side * scale)) for side in strokes.shape)
    # With Pillow's bilinear filter, which averages where it reduces.
    resized = Image.fromarray(strokes).resize((width, height), Image.Resampling.BILINEAR)
    box = np.clip(np.asarray(resized), 0, 1)
    centre = scipy.ndimage.center_of_mass(box)
    top, left = (
        min(max(round(SIZE / 2 - middle), 0), SIZE - side)
        for middle, side in zip(centre, box.shape, strict=True)
    )
    image = np.zeros((SIZE, SIZE), np.float32)
    image[top : top + height, left : left + width] = box
    return image


def _cropped(ink: Pixels) -> Pixels:
    """Cut away what lies around the strokes."""
    return ink[figures.box(ink >= 0.5)]


def _thickened(ink: Pixels) -> Pixels:
    """Make strokes that would nearly vanish in the box as thick as the thinnest of MNIST."""
    strokes = np.pad(ink >= 0.5, 1)
    edge = strokes & ~scipy.ndimage.binary_erosion(strokes)
    width = 2 * strokes.sum() / edge.sum()
    missing = round(MIN_STROKE_WIDTH * max(ink.shape) / BOX - width)
    if missing <= 0:
        return ink
    return scipy.ndimage.maximum_filter(np.pad(ink, missing), missing + 1)
