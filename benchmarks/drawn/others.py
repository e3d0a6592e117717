"""Pictures that show no single digit."""

from pathlib import Path

import matplotlib
import numpy as np
import scipy.interpolate
import scipy.ndimage
from PIL import Image, ImageDraw, ImageFont

from benchmarks.drawn.shapes import (
    FONT_FOLDER,
    Digits,
    Pixels,
    Random,
    placed,
    printed,
    saved,
    written,
)


def pair(digits: Digits, random: Random) -> bytes:
    """Two or three digits side by side."""
    return labelled_pair(digits, random)[0]


def labelled_pair(digits: Digits, random: Random) -> tuple[bytes, list[int]]:
    """Return the file of a "pair", and its digits from left to right."""
    coverage, labels = paired(digits, random)
    return saved(255 * (1 - coverage), "PNG", random), labels


def paired(digits: Digits, random: Random) -> tuple[Pixels, list[int]]:
    """Return two or three digits side by side, coverage [H, W], and which they are."""
    tall = int(random.choice([60, 120, 250]))
    pen = tall * random.uniform(0.04, 0.12)
    count = int(random.choice([2, 2, 3]))
    labels, shapes = [], []
    for _ in range(count):
        labels.append(int(random.integers(10)))
        shapes.append(written(labels[-1], tall, pen, digits, random))
    gap = int(tall * random.uniform(0.05, 0.4))
    height = max(shape.shape[0] for shape in shapes) + 2 * gap
    width, left = sum(shape.shape[1] + gap for shape in shapes) + gap, gap
    sheet = np.zeros((height, width))
    for shape in shapes:
        sheet = np.maximum(sheet, placed(shape, height, width, gap, left))
        left += shape.shape[1] + gap
    return sheet, labels


def scribble(digits: Digits, random: Random) -> bytes:
    """A line that turns many times."""
    return saved(255 * (1 - scribbled(random)), "PNG", random)


def scribbled(random: Random, side: int = 280) -> Pixels:
    """Return a line that turns many times, coverage [side, side]."""
    image = Image.new("L", (side, side))
    points = random.uniform(0.1, 0.9, (int(random.integers(7, 25)), 2)) * side
    at = np.linspace(0, 1, len(points))
    spline = scipy.interpolate.make_interp_spline(at, points, k=int(random.choice([1, 3])))
    line = [tuple(map(float, point)) for point in spline(np.linspace(0, 1, 400))]
    width = max(1, round(side * random.uniform(0.015, 0.07)))
    ImageDraw.Draw(image).line(line, fill=255, width=width, joint="curve")
    return np.asarray(image) / 255


# Without those that look like digits: B, I, O, S, Z, b, g, i, l, o, q, s, z.
LETTERS = "ACDEFGHJKLMNPQRTUVWXYacdefhjkmnprtuvwxy"


def letter(digits: Digits, random: Random) -> bytes:
    """A Latin letter of a font."""
    shape = np.pad(printed(str(random.choice(list(LETTERS))), 120, random), 60)
    return saved(255 * (1 - shape), "PNG", random)


def thing(digits: Digits, random: Random) -> bytes:
    """A part of a photograph, a texture, a chart, shapes, an empty grid, or lines of text."""
    if random.random() < 0.25:
        path = Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")
        with Image.open(path) as image:
            size = int(random.integers(150, min(image.size)))
            left, top = (int(random.integers(0, length - size + 1)) for length in image.size)
            part = image.crop((left, top, left + size, top + size))
            return saved(np.asarray(part, float), "JPEG", random)
    return saved(255 * (1 - drawn_thing(random, int(random.integers(100, 400)))), "PNG", random)


def drawn_thing(random: Random, side: int) -> Pixels:
    """Return a texture, a chart, shapes, a grid or text, coverage [side, side]."""
    kind = random.choice(["texture", "chart", "shapes", "grid", "text"])
    if kind == "texture":
        noise = random.normal(size=(side, side))
        smooth = scipy.ndimage.gaussian_filter(noise, side * random.uniform(0.01, 0.1))
        return np.clip(0.5 + smooth / smooth.std() / 2, 0, 1)
    image = Image.new("L", (side, side))
    brush = ImageDraw.Draw(image)
    if kind == "chart":
        for left in range(side // 10, side - side // 8, side // 7):
            top = int(random.integers(side // 10, side * 8 // 10))
            brush.rectangle([left, top, left + side // 10, side - side // 10], fill=255)
    elif kind == "shapes":
        for _ in range(int(random.integers(1, 4))):
            x, y, radius = (float(value) for value in random.uniform(0.25, 0.5, 3) * side)
            corners = int(random.integers(3, 9))
            turn, fill = float(random.uniform(0, 360)), 255 * int(random.integers(2))
            brush.regular_polygon((x, y, radius), corners, turn, fill, 255, max(1, side // 25))
            if random.random() < 0.5:
                brush.line([x, y, *random.uniform(0, side, 2)], fill=255, width=max(1, side // 20))
    elif kind == "grid":
        for at in range(side // 12, side, side // int(random.integers(5, 12))):
            brush.line([at, 0, at, side], fill=200, width=max(1, side // 100))
            brush.line([0, at, side, at], fill=200, width=max(1, side // 100))
    else:
        font = ImageFont.truetype(FONT_FOLDER / "DejaVuSans.ttf", side // 8)
        for line in range(4):
            words = "".join(random.choice(list(LETTERS + "   "), 9))
            brush.text((side // 12, side // 8 + line * side // 5), words, font=font, fill=255)
    return np.asarray(image) / 255
