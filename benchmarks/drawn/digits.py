"""Pictures of one digit, as people save them: photos, drawings, small files, prints, plots."""

import io

import numpy as np
import scipy.ndimage
from PIL import Image

from benchmarks.drawn.shapes import (
    Digits,
    Pixels,
    Random,
    coloured,
    placed,
    printed,
    saved,
    somewhere,
    written,
)


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
    return saved(pixels, str(random.choice(["JPEG", "JPEG", "PNG", "WEBP"])), random)


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
    return saved(coloured(coverage, paper, ink), str(form), random)


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
    return saved(pixels, str(random.choice(["PNG", "JPEG", "GIF", "BMP"])), random)


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
    return saved(pixels, str(random.choice(["PNG", "JPEG", "GIF", "BMP"])), random)


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
