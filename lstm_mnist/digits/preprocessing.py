"""A user's picture made into an image like MNIST's.

MNIST's authors size-normalised NIST's digits into a box of 20x20 pixels, keeping the aspect ratio,
with grey levels from anti-aliasing, and put the centre of mass into the centre of 28x28 pixels
(Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"). In their images the
longer side of the box is 20 and the centre of mass lies within half a pixel of (14, 14).
"""

import contextlib
import warnings
from pathlib import Path
from typing import IO

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lstm_mnist.system import files
from lstm_mnist.system.errors import PictureError

FORMATS = ("PNG", "JPEG", "GIF")
SIZE, BOX = 28, 20
# Pixels. Larger pictures are reduced first; a box of 20 shows no more detail.
MAX_SIDE = 1000
# As a share of the distance from black to white.
MIN_CONTRAST = 0.05
# Pixels in the box: about MNIST's thinnest strokes.
MIN_STROKE_WIDTH = 2.0

Pixels = NDArray[np.float32]


def read(file: Path | IO[bytes]) -> Pixels:
    """Return a picture file as an image [28, 28] in [0, 1], like MNIST's bright on dark.

    Of an animation the first picture is taken. Raises PictureError, which does not name the file.
    """
    return normalise(_ink(_open(file)))


def write(path: Path, image: Pixels) -> None:
    """Write an image [H, W] in [0, 1] as a picture of 8-bit grey levels. Raises OutputError."""
    with files.replacing(path) as temporary:
        Image.fromarray((255 * image).round().astype("uint8")).save(temporary)


def _open(file: Path | IO[bytes]) -> Image.Image:
    """Return a decoded picture in the mode RGBA, or F for 16 bits of grey."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with _opened(file) as content, Image.open(content, formats=FORMATS) as opened:
                image = ImageOps.exif_transpose(opened)
                # Pillow would clip 16 bits to 8.
                if image.mode.startswith("I"):
                    image = Image.fromarray(np.asarray(image, np.float32) / 65535)
                else:
                    image = image.convert("RGBA")
    except UnidentifiedImageError as error:
        raise PictureError("is not a PNG, JPEG or GIF picture") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise PictureError("has too many pixels: make it smaller") from error
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error
    except (SyntaxError, ValueError, EOFError) as error:  # what Pillow raises for damaged files
        raise PictureError(f"is damaged: {error}") from error
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    return image


def _opened(file: Path | IO[bytes]) -> contextlib.AbstractContextManager[IO[bytes]]:
    return files.reading(file) if isinstance(file, Path) else contextlib.nullcontext(file)


def _ink(image: Image.Image) -> Pixels:
    """Return how much of each pixel is covered by strokes, [H, W] in [0, 1]. Raises PictureError.

    The ground is what the border shows, be it dark, light, coloured or transparent.
    """
    values = np.array(image, np.float32)
    colours, opacity = values[..., np.newaxis], np.ones_like(values)
    if image.mode == "RGBA":
        values /= 255
        colours, opacity = values[..., :3], values[..., 3]
    if np.median(_border(opacity)) < 0.5:
        distance = opacity
    else:
        ground = np.median(_border(colours), axis=0)
        distance = opacity * np.sqrt(np.mean((colours - ground) ** 2, axis=-1))
    strongest = distance.max()
    if strongest - distance.min() < MIN_CONTRAST:
        raise PictureError("shows no digit: it has one colour")
    # The median, because a few pixels may stand out.
    ink = distance / np.median(distance[distance >= strongest / 2])
    # Steeper around the edge of the strokes, so that noise, shades and artefacts vanish.
    return np.clip(2 * ink - 0.5, 0, 1)


def _border(pixels: Pixels) -> Pixels:
    """Return the outermost pixels of an array [H, W, ...], [N, ...]."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def normalise(ink: Pixels) -> Pixels:
    """Return strokes [H, W] in [0, 1] of any size in MNIST's place and size, [28, 28]."""
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
    strokes = ink >= 0.5
    rows, columns = (np.flatnonzero(strokes.any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _thickened(ink: Pixels) -> Pixels:
    """Make strokes that would nearly vanish in the box as thick as the thinnest of MNIST."""
    strokes = np.pad(ink >= 0.5, 1)
    edge = strokes & ~scipy.ndimage.binary_erosion(strokes)
    width = 2 * strokes.sum() / edge.sum()
    missing = round(MIN_STROKE_WIDTH * max(ink.shape) / BOX - width)
    if missing <= 0:
        return ink
    return scipy.ndimage.maximum_filter(np.pad(ink, missing), missing + 1)
