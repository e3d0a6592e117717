"""Digits as hands and fonts write them, and how they are put on a sheet.

A shape is its coverage [H, W] in [0, 1], of a tight box.
"""

import io
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import scipy.interpolate
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.float64]
Random = np.random.Generator

FONT_FOLDER = Path(matplotlib.get_data_path(), "fonts", "ttf")
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "cmr10",
    "cmb10",
    "cmss10",
    "cmtt10",
    "cmti10",
)
# The strokes of handwritten digits: points x,y from 0,0 at the upper left to 100,100.
STROKES = {
    0: ["55,2 20,20 12,60 35,97 72,90 88,50 75,10 50,2"],
    1: ["30,28 55,2 50,50 48,100"],
    2: ["18,25 35,4 70,6 80,30 55,65 15,96", "15,96 50,93 88,96"],
    3: ["20,12 50,1 78,15 70,38 42,48", "42,48 76,58 80,82 50,99 15,88"],
    4: ["35,3 25,30 15,60", "15,60 50,58 90,57", "70,20 68,60 64,100"],
    5: ["25,5 24,25 22,45", "22,45 50,38 78,55 74,85 45,99 14,90", "25,5 50,5 82,3"],
    6: ["68,2 35,30 20,65 35,96 68,94 80,70 58,52 30,60 22,75"],
    7: ["12,6 50,5 85,4", "85,4 62,40 42,100"],
    8: ["70,12 45,2 25,20 50,45 76,72 50,98 22,78 48,48 74,22 70,12"],
    9: ["76,20 50,3 22,22 36,47 68,40 77,18", "77,18 74,60 66,100"],
}


class Digits(NamedTuple):
    """MNIST images [N, 28, 28] in [0, 1] and their labels [N]."""

    images: NDArray[np.float32]
    labels: NDArray[np.integer[Any]]


def _curve(points: Pixels) -> Pixels:
    """Return a smooth line through points, [N, 2]."""
    at = np.linspace(0, 1, len(points))
    degree = min(3, len(points) - 1)
    spline = scipy.interpolate.make_interp_spline(at, points, k=degree)
    return np.asarray(spline(np.linspace(0, 1, 40)))


def stroked(digit: int, height: int, pen: float, random: Random) -> Pixels:
    """Draw a digit as by hand, coverage [H, W] of a tight box; `pen` is a width in pixels."""
    over = 3
    slant, width = random.normal(0, 0.12), random.uniform(0.6, 0.9)
    lines = []
    for stroke in STROKES[digit]:
        corners = np.array([point.split(",") for point in stroke.split()], float) / 100
        points = _curve(corners + random.normal(0, 0.02, corners.shape))
        points[:, 0] = (points[:, 0] - 0.5 - slant * (points[:, 1] - 0.5)) * width
        lines.append(points * height * over)
    every = np.concatenate(lines)
    margin = pen * over / 2 + over
    low = every.min(axis=0) - margin
    size = np.ceil(every.max(axis=0) + margin - low).astype(int)
    image = Image.new("L", (int(size[0]), int(size[1])))
    brush, radius = ImageDraw.Draw(image), pen * over / 2
    for points in lines:
        path = [tuple(map(float, point)) for point in points - low]
        brush.line(path, fill=255, width=max(1, round(pen * over)), joint="curve")
        for x, y in (path[0], path[-1]):
            brush.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    small = image.resize(
        (max(1, image.width // over), max(1, image.height // over)), Image.Resampling.BOX
    )
    return np.asarray(small) / 255


def mnist(digit: int, height: int, digits: Digits, random: Random) -> Pixels:
    """Return an MNIST digit enlarged to smooth strokes, coverage [H, W] of a tight box."""
    image = digits.images[random.choice(np.flatnonzero(digits.labels == digit))]
    rows, columns = (np.flatnonzero((image > 0.3).any(axis=axis)) for axis in (1, 0))
    image = np.pad(image, 2)[rows[0] : rows[-1] + 5, columns[0] : columns[-1] + 5]
    scale = height / (rows[-1] - rows[0] + 1)
    size = (max(3, round(image.shape[1] * scale)), max(3, round(image.shape[0] * scale)))
    large = Image.fromarray(image.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    # Sharp edges, however much it was enlarged.
    return np.clip((np.asarray(large, float) - 0.45) * max(1.0, scale) + 0.5, 0, 1)


def printed(text: str, height: int, random: Random) -> Pixels:
    """Return a character of a font, coverage [H, W] of its tight box."""
    font = ImageFont.truetype(
        FONT_FOLDER / f"{random.choice(FONTS)}.ttf", max(8, round(height * 1.35))
    )
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, font=font, fill=255)
    return np.asarray(image) / 255


def written(digit: int, height: int, pen: float, digits: Digits, random: Random) -> Pixels:
    """Return a handwritten digit: MNIST's, or strokes of a pen whose width is in pixels."""
    if random.random() < 0.5:
        return mnist(digit, height, digits, random)
    return stroked(digit, height, pen, random)


def placed(coverage: Pixels, height: int, width: int, top: int, left: int) -> Pixels:
    """Put a shape on a sheet [height, width]; what does not fit is cut off."""
    sheet = np.zeros((height, width))
    rows, columns = coverage.shape
    y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + rows, height), min(left + columns, width)
    sheet[y0:y1, x0:x1] = coverage[y0 - top : y1 - top, x0 - left : x1 - left]
    return sheet


def somewhere(coverage: Pixels, height: int, width: int, margin: int, random: Random) -> Pixels:
    """Put a shape anywhere on a sheet, within a margin."""
    rows, columns = coverage.shape
    top = random.integers(margin, max(margin, height - rows - margin) + 1)
    left = random.integers(margin, max(margin, width - columns - margin) + 1)
    return placed(coverage, height, width, int(top), int(left))


def coloured(coverage: Pixels, paper: Pixels, ink: Pixels) -> Pixels:
    """Mix two colours [3], or grounds [H, W, 3], by coverage."""
    return paper + (ink - paper) * coverage[..., np.newaxis]


def saved(pixels: Pixels, form: str, random: Random) -> bytes:
    """Return the file of a picture of 8 bits, [H, W] or [H, W, 3]."""
    image = Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8))
    file = io.BytesIO()
    options = {"quality": int(random.integers(40, 95))} if form in ("JPEG", "WEBP") else {}
    image.save(file, form, **options)
    return file.getvalue()
