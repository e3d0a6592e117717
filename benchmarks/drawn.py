"""Pictures drawn by kind, as people save them: photos, drawings, small files, prints, plots.

A picture depends on its kind, number and seed alone. Digits come from MNIST's images, from fonts
and from strokes.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import scipy.interpolate
import scipy.ndimage
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
# Strokes of digits as a hand draws them, from (0, 0) at the upper left to (1, 1).
STROKES: dict[int, list[list[tuple[float, float]]]] = {
    0: [
        [
            (0.55, 0.02),
            (0.2, 0.2),
            (0.12, 0.6),
            (0.35, 0.97),
            (0.72, 0.9),
            (0.88, 0.5),
            (0.75, 0.1),
            (0.5, 0.02),
        ]
    ],
    1: [[(0.3, 0.28), (0.55, 0.02), (0.5, 0.5), (0.48, 1.0)]],
    2: [
        [(0.18, 0.25), (0.35, 0.04), (0.7, 0.06), (0.8, 0.3), (0.55, 0.65), (0.15, 0.96)],
        [(0.15, 0.96), (0.5, 0.93), (0.88, 0.96)],
    ],
    3: [
        [(0.2, 0.12), (0.5, 0.01), (0.78, 0.15), (0.7, 0.38), (0.42, 0.48)],
        [(0.42, 0.48), (0.76, 0.58), (0.8, 0.82), (0.5, 0.99), (0.15, 0.88)],
    ],
    4: [
        [(0.35, 0.03), (0.25, 0.3), (0.15, 0.6)],
        [(0.15, 0.6), (0.5, 0.58), (0.9, 0.57)],
        [(0.7, 0.2), (0.68, 0.6), (0.64, 1.0)],
    ],
    5: [
        [(0.25, 0.05), (0.24, 0.25), (0.22, 0.45)],
        [(0.22, 0.45), (0.5, 0.38), (0.78, 0.55), (0.74, 0.85), (0.45, 0.99), (0.14, 0.9)],
        [(0.25, 0.05), (0.5, 0.05), (0.82, 0.03)],
    ],
    6: [
        [
            (0.68, 0.02),
            (0.35, 0.3),
            (0.2, 0.65),
            (0.35, 0.96),
            (0.68, 0.94),
            (0.8, 0.7),
            (0.58, 0.52),
            (0.3, 0.6),
            (0.22, 0.75),
        ]
    ],
    7: [[(0.12, 0.06), (0.5, 0.05), (0.85, 0.04)], [(0.85, 0.04), (0.62, 0.4), (0.42, 1.0)]],
    8: [
        [
            (0.7, 0.12),
            (0.45, 0.02),
            (0.25, 0.2),
            (0.5, 0.45),
            (0.76, 0.72),
            (0.5, 0.98),
            (0.22, 0.78),
            (0.48, 0.48),
            (0.74, 0.22),
            (0.7, 0.12),
        ]
    ],
    9: [
        [(0.76, 0.2), (0.5, 0.03), (0.22, 0.22), (0.36, 0.47), (0.68, 0.4), (0.77, 0.18)],
        [(0.77, 0.18), (0.74, 0.6), (0.66, 1.0)],
    ],
}


class Digits(NamedTuple):
    """MNIST images [N, 28, 28] in [0, 1] and their labels [N]."""

    images: NDArray[np.float32]
    labels: NDArray[np.integer[Any]]


def _curve(points: list[tuple[float, float]]) -> Pixels:
    """Return a smooth line through points, [N, 2]."""
    at = np.linspace(0, 1, len(points))
    degree = min(3, len(points) - 1)
    spline = scipy.interpolate.make_interp_spline(at, np.array(points), k=degree)
    return np.asarray(spline(np.linspace(0, 1, 40)))


def stroked(digit: int, height: int, pen: float, random: Random) -> Pixels:
    """Draw a digit by hand: a pen's width in pixels, coverage [H, W] of a tight box."""
    over = 3
    slant, width = random.normal(0, 0.12), random.uniform(0.6, 0.9)
    lines = []
    for stroke in STROKES[digit]:
        points = _curve(
            [(x + random.normal(0, 0.02), y + random.normal(0, 0.02)) for x, y in stroke]
        )
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
    """Return a digit of a hand: MNIST's, or strokes of a pen whose width is in pixels."""
    if random.random() < 0.5:
        return mnist(digit, height, digits, random)
    return stroked(digit, height, pen, random)


def placed(coverage: Pixels, height: int, width: int, top: int, left: int) -> Pixels:
    """Put a shape on a sheet [height, width]; what stands over is cut off."""
    sheet = np.zeros((height, width))
    rows, columns = coverage.shape
    y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + rows, height), min(left + columns, width)
    sheet[y0:y1, x0:x1] = coverage[y0 - top : y1 - top, x0 - left : x1 - left]
    return sheet


def somewhere(coverage: Pixels, height: int, width: int, margin: int, random: Random) -> Pixels:
    """Put a shape on a sheet, anywhere but for a margin."""
    rows, columns = coverage.shape
    top = random.integers(margin, max(margin, height - rows - margin) + 1)
    left = random.integers(margin, max(margin, width - columns - margin) + 1)
    return placed(coverage, height, width, int(top), int(left))


def coloured(coverage: Pixels, paper: Pixels, ink: Pixels) -> Pixels:
    """Mix two colours [3], or grounds [H, W, 3], by coverage."""
    return paper + (ink - paper) * coverage[..., np.newaxis]


def _lines(height: int, width: int, random: Random, *, squared: bool) -> Pixels:
    """Return the lines of ruled or squared paper, coverage [H, W]."""
    step = int(max(height, width) / random.uniform(8, 26))
    sheet = np.zeros((height, width))
    thick = max(1, round(max(height, width) / 500))
    for start in range(int(random.integers(0, step)), height, step):
        sheet[start : start + thick] = 1
    if squared:
        for start in range(int(random.integers(0, step)), width, step):
            sheet[:, start : start + thick] = 1
    turned = scipy.ndimage.rotate(
        np.pad(sheet, 40, mode="wrap"), random.normal(0, 1.2), reshape=False, order=1
    )
    return np.clip(turned[40:-40, 40:-40], 0, 1)


def _light(height: int, width: int, random: Random) -> Pixels:
    """Return how brightly a sheet is lit, [H, W]: a gradient, a vignette and a shadow at times."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = random.uniform(0, 2 * np.pi)
    light = 1 - random.uniform(0, 0.35) * (1 + x * np.cos(angle) + y * np.sin(angle)) / 2
    light *= 1 - random.uniform(0, 0.35) * (x**2 + y**2) / 2
    if random.random() < 0.4:  # somebody's shadow
        angle, at = random.uniform(0, 2 * np.pi), random.uniform(-0.6, 0.8)
        soft = random.uniform(0.02, 0.3)
        edge = 1 / (
            1 + np.exp(np.clip((x * np.cos(angle) + y * np.sin(angle) - at) / soft, -50, 50))
        )
        light *= 1 - random.uniform(0.15, 0.5) * edge
    return light


def _saved(pixels: Pixels, form: str, random: Random) -> bytes:
    image = Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8))
    file = io.BytesIO()
    options = {"quality": int(random.integers(40, 95))} if form in ("JPEG", "WEBP") else {}
    image.save(file, form, **options)
    return file.getvalue()


def photo(digit: int, digits: Digits, random: Random) -> bytes:
    """A photo of paper: uneven light, noise, blur; ruled or squared; specks; a desk's edge."""
    height, width = (int(side) for side in random.integers(250, 1100, 2))
    tall = int(min(height, width) * random.uniform(0.15, 0.8))
    pen = tall * random.uniform(0.03, 0.12)
    coverage = somewhere(written(digit, tall, pen, digits, random), height, width, 6, random)
    paper = random.uniform(190, 255) * np.array(
        [1, random.uniform(0.95, 1), random.uniform(0.85, 1)]
    )
    if random.random() < 0.08:  # a blackboard
        paper, ink = np.array([40.0, 60.0, 50.0]), np.array([225.0, 225.0, 220.0])
    else:
        ink = random.choice(
            [[25, 25, 30], [30, 40, 130], [70, 70, 75], [170, 30, 30], [110, 110, 110]]
        ).astype(float)
    ground = np.broadcast_to(paper, (height, width, 3)).astype(float)
    if random.random() < 0.4:
        lines = _lines(height, width, random, squared=random.random() < 0.5)
        colour = paper + (ink - paper) * random.uniform(0.2, 0.6)
        ground = coloured(lines, ground, colour)
    for _ in range(int(random.integers(0, 4))):  # specks
        y, x = int(random.integers(0, height)), int(random.integers(0, width))
        size = int(max(2, tall * random.uniform(0.01, 0.06)))
        ground[y : y + size, x : x + size] = ink
    pixels = coloured(coverage, ground, ink) * _light(height, width, random)[..., np.newaxis]
    if random.random() < 0.15:  # the desk beside the paper
        band = int(random.uniform(0.02, 0.08) * min(height, width))
        pixels[-band:] = random.uniform(20, 120, 3)
    pixels = scipy.ndimage.gaussian_filter(
        pixels, (blur := random.uniform(0.3, max(height, width) / 500), blur, 0)
    )
    pixels += random.normal(0, random.uniform(1, 8), pixels.shape)
    return _saved(pixels, str(random.choice(["JPEG", "JPEG", "PNG", "WEBP"])), random)


def drawing(digit: int, digits: Digits, random: Random) -> bytes:
    """A drawing by mouse or finger: any pen, colours, faint ones, small, off-centre, cut off."""
    height, width = (
        int(side) for side in random.choice([100, 140, 200, 280, 400, 600, 1000, 3000], 2)
    )
    if max(height, width) > 4 * min(height, width):
        width = height
    tall = int(min(height, width) * random.uniform(0.2, 0.9))
    tall = max(tall, 24)
    pen = max(1.0, tall * random.choice([0.01, 0.03, 0.06, 0.1, 0.15]))
    margin = -int(0.03 * tall) if random.random() < 0.1 else 0
    coverage = somewhere(written(digit, tall, pen, digits, random), height, width, margin, random)
    paper, ink = random.integers(0, 256, (2, 3)).astype(float)
    kind = random.random()
    if kind < 0.6:
        paper, ink = np.full(3, 255.0), np.zeros(3)
    elif kind < 0.7:
        paper, ink = np.zeros(3), np.full(3, 255.0)
    elif kind < 0.8:  # faint
        paper = np.full(3, 255.0)
        ink = paper - random.integers(6, 40)
    while np.abs(paper - ink).max() < 6:
        ink = random.integers(0, 256, 3).astype(float)
    if random.random() < 0.1:
        file = io.BytesIO()
        alpha = np.round(255 * coverage).astype(np.uint8)
        layers = [np.full_like(alpha, value) for value in ink.astype(np.uint8)]
        Image.fromarray(np.stack([*layers, alpha], axis=-1)).save(file, "PNG")
        return file.getvalue()
    form = random.choice(["PNG", "PNG", "PNG", "BMP", "GIF", "TIFF", "PPM", "WEBP"])
    return _saved(coloured(coverage, paper, ink), str(form), random)


def small(digit: int, digits: Digits, random: Random) -> bytes:
    """An MNIST image in a file of 20 to 64 pixels: either polarity, some artefacts, a border."""
    image = digits.images[random.choice(np.flatnonzero(digits.labels == digit))].astype(float)
    if random.random() < 0.15:
        image = image[4:24, 4:24]
    side = int(random.choice([len(image), len(image), 32, 64]))
    resized = Image.fromarray(image.astype(np.float32)).resize(
        (side, side), Image.Resampling.BILINEAR
    )
    image = np.clip(np.asarray(resized, float), 0, 1)
    if random.random() < 0.1:  # a border of another colour
        image = np.pad(image, int(random.integers(1, 3)), constant_values=1)
    pixels = 255 * (image if random.random() < 0.5 else 1 - image)
    if random.random() < 0.3:
        pixels = 128 + (pixels - 128) * random.uniform(0.3, 1)
    pixels += random.normal(0, random.choice([0, 0, 4]), pixels.shape)
    if random.random() < 0.5:
        pixels = np.repeat(pixels[..., np.newaxis], 3, axis=-1)
    return _saved(pixels, str(random.choice(["PNG", "JPEG", "GIF", "BMP"])), random)


def print_(digit: int, digits: Digits, random: Random) -> bytes:
    """A printed digit: tight crops, boxes, circles and frames, specks, plates of another colour."""
    tall = int(random.choice([20, 30, 60, 120, 250, 500]))
    coverage = printed(str(digit), tall, random)
    style = random.choice(["tight", "loose", "frame", "plate", "circle", "specks"])
    margin = 0 if style == "tight" else int(tall * random.uniform(0.1, 0.6)) + 3
    coverage = np.pad(coverage[1:-1, 1:-1], margin)
    height, width = coverage.shape
    paper, ink = np.full(3, 255.0), np.zeros(3)
    if random.random() < 0.4:
        paper, ink = random.integers(0, 256, (2, 3)).astype(float)
        while np.linalg.norm(paper - ink) < 120:
            ink = random.integers(0, 256, 3).astype(float)
    elif random.random() < 0.4:
        paper, ink = ink, paper
    if style == "frame":
        thick, inset = int(random.integers(1, 4)), int(random.integers(0, max(1, margin - 3)))
        box = np.ones_like(coverage)
        box[:inset] = box[height - inset :] = box[:, :inset] = box[:, width - inset :] = 0
        inside = scipy.ndimage.binary_erosion(box, iterations=thick)
        coverage = np.maximum(coverage, box - inside)
    pixels = coloured(coverage, paper, ink)
    if style == "circle":
        side = int(np.hypot(height, width) * 1.1) + 8
        y, x = np.mgrid[:side, :side] - side / 2
        ring = np.clip(side * 0.03 + 1 - np.abs(np.hypot(y, x) - side * 0.46), 0, 1)
        digit_sheet = placed(coverage, side, side, (side - height) // 2, (side - width) // 2)
        pixels = coloured(np.maximum(ring, digit_sheet), paper, ink)
    if style == "plate":
        pad = int(tall * random.uniform(0.1, 0.4)) + 2
        around = (
            paper
            if random.random() < 0.1
            else (ink if random.random() < 0.5 else np.full(3, 255.0))
        )
        pixels = np.stack(
            [np.pad(pixels[..., c], pad, constant_values=around[c]) for c in range(3)], axis=-1
        )
    if style == "specks":
        for _ in range(5):
            y, x = (int(random.integers(0, side)) for side in (height, width))
            size = max(1, tall // 40)
            pixels[y : y + size, x : x + size] = ink
    return _saved(pixels, str(random.choice(["PNG", "JPEG", "GIF", "BMP"])), random)


def plot(digit: int, digits: Digits, random: Random) -> bytes:
    """An MNIST image as Matplotlib saves it: colour maps, ticks, axes, titles, grids."""
    import matplotlib.pyplot as plt

    image = digits.images[random.choice(np.flatnonzero(digits.labels == digit))]
    style = random.choice(["default", "seaborn-v0_8", "ggplot", "dark_background"])
    with plt.style.context(str(style)):
        figure = plt.figure(
            figsize=((6.4, 4.8), (4, 4), (3, 3))[random.integers(3)],
            dpi=int(random.choice([50, 72, 100])),
        )
        axes = figure.add_subplot()
        cmap = str(random.choice(["viridis", "gray", "gray_r", "binary", "Greys", "plasma"]))
        axes.imshow(image, cmap=cmap)
        if random.random() < 0.3:
            axes.axis("off")
        if random.random() < 0.3:
            axes.set_title(f"label: {random.integers(10)}")
        if style in ("default", "dark_background"):
            axes.grid(visible=False)
        file = io.BytesIO()
        figure.savefig(file, format="png", bbox_inches="tight" if random.random() < 0.4 else None)
        plt.close(figure)
    return file.getvalue()


def pair(digits: Digits, random: Random) -> bytes:
    """Two or three digits side by side."""
    return _saved(255 * (1 - paired(digits, random)), "PNG", random)


def paired(digits: Digits, random: Random) -> Pixels:
    """Return two or three digits side by side, coverage [H, W]."""
    tall = int(random.choice([60, 120, 250]))
    pen = tall * random.uniform(0.04, 0.12)
    count = int(random.choice([2, 2, 3]))
    shapes = [written(int(random.integers(10)), tall, pen, digits, random) for _ in range(count)]
    gap = int(tall * random.uniform(0.05, 0.4))
    height = max(shape.shape[0] for shape in shapes) + 2 * gap
    width, left = sum(shape.shape[1] + gap for shape in shapes) + gap, gap
    sheet = np.zeros((height, width))
    for shape in shapes:
        sheet = np.maximum(sheet, placed(shape, height, width, gap, left))
        left += shape.shape[1] + gap
    return sheet


def scribble(digits: Digits, random: Random) -> bytes:
    """A line that turns many times."""
    return _saved(255 * (1 - scribbled(random)), "PNG", random)


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


# But for those that digits look like: B, I, O, S, Z, b, g, i, l, o, q, s, z.
LETTERS = "ACDEFGHJKLMNPQRTUVWXYacdefhjkmnprtuvwxy"


def letter(digits: Digits, random: Random) -> bytes:
    """A Latin letter of a font."""
    shape = np.pad(printed(str(random.choice(list(LETTERS))), 120, random), 60)
    return _saved(255 * (1 - shape), "PNG", random)


def thing(digits: Digits, random: Random) -> bytes:
    """A part of a photograph, a texture, a chart, shapes, an empty grid, or lines of text."""
    if random.random() < 0.25:
        path = Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")
        with Image.open(path) as image:
            size = int(random.integers(150, min(image.size)))
            left, top = (int(random.integers(0, length - size + 1)) for length in image.size)
            part = image.crop((left, top, left + size, top + size))
            return _saved(np.asarray(part, float), "JPEG", random)
    return _saved(255 * (1 - drawn_thing(random, int(random.integers(100, 400)))), "PNG", random)


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


KINDS: dict[str, Callable[[int, Digits, Random], bytes]] = {
    "photo": photo,
    "drawing": drawing,
    "28x28": small,
    "printed": print_,
    "plot": plot,
}
OTHERS: dict[str, Callable[[Digits, Random], bytes]] = {
    "pair": pair,
    "scribble": scribble,
    "letter": letter,
    "thing": thing,
}


def draw(kind: str, number: int, seed: int, digits: Digits) -> tuple[bytes, int]:
    """Return one picture's file and its digit; see `KINDS`."""
    random = np.random.default_rng([seed, list(KINDS).index(kind), number])
    return KINDS[kind](number % 10, digits, random), number % 10


def draw_other(kind: str, number: int, seed: int, digits: Digits) -> bytes:
    """Return the file of one picture that shows no single digit; see `OTHERS`."""
    random = np.random.default_rng([seed, len(KINDS) + list(OTHERS).index(kind), number])
    return OTHERS[kind](digits, random)
