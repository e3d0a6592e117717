"""How well drawn pictures are read, and how often doubted: `python -m benchmarks.pictures`."""

import argparse
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import drawn
from benchmarks.drawn import shapes
from lstm_mnist import data, training
from lstm_mnist.digits import likeness, preprocessing
from lstm_mnist.runs import model_files
from lstm_mnist.system.errors import PictureError

PHOTOGRAPH, COLUMN = "photograph", "MNIST column"
# All photographs in scikit-image's data, including those through a microscope or a telescope.
PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)


def main() -> None:
    """Print a row of a table for each kind: pictures, and how many were unread, right, doubted."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = [
        *drawn.KINDS,
        "MNIST",
        *drawn.OTHERS,
        PHOTOGRAPH,
        COLUMN,
        "pair, --many",
        "MNIST row, --many",
    ]
    # Given no kinds, argparse compares the empty list itself with the choices.
    parser.add_argument(
        "kinds", nargs="*", choices=[*kinds, []], metavar="KIND", help=f"of {', '.join(kinds)}"
    )
    parser.add_argument("--seed", type=int, default=1, help="0 is what the code was tuned on")
    parser.add_argument("--count", type=int, default=60, help="pictures of each kind")
    arguments = parser.parse_args()
    test = data.load(os.environ.get("TFDS_DATA_DIR")).test
    digits = shapes.Digits(test.images, test.labels.astype(np.int64))
    numbers = range(arguments.count)
    for kind in arguments.kinds or kinds:
        if kind in drawn.KINDS:
            pictures = [drawn.draw(kind, number, arguments.seed, digits) for number in numbers]
            unread, right, doubted = score(pictures)
            print(f"| {kind} | {len(pictures)} | {unread} | {right} | {doubted} |", flush=True)
            continue
        if kind.endswith("--many"):
            draw = drawn.draw_pair if kind.startswith("pair") else mnist_row
            rows = [draw(number, arguments.seed, digits) for number in numbers]
            print(f"| {kind} | {len(rows)} | | {score_rows(rows)} | |", flush=True)
            continue
        if kind == "MNIST":
            doubts = [likeness.doubt(image) for image in digits.images]
        elif kind == PHOTOGRAPH:
            doubts = [doubt(photograph(number, arguments.seed)) for number in numbers]
        elif kind == COLUMN:
            columns = (mnist_row(number, arguments.seed, digits, axis=0) for number in numbers)
            doubts = [doubt(file) for file, _ in columns]
        else:
            files = (drawn.draw_other(kind, number, arguments.seed, digits) for number in numbers)
            doubts = [doubt(file) for file in files]
        print(f"| {kind} | {len(doubts)} | | | {sum(map(bool, doubts))} |", flush=True)


def doubt(file: bytes) -> str | None:
    """Return why a picture hardly shows one digit, or None."""
    return preprocessing.digits(io.BytesIO(file))[0].doubt


def score(pictures: list[tuple[bytes, int]]) -> tuple[int, int, int]:
    """Return how many pictures could not be read, were named correctly, and raised a doubt."""
    digits, labels = [], []
    for file, label in pictures:
        try:
            digits += preprocessing.digits(io.BytesIO(file))
        except PictureError:
            continue
        labels.append(label)
    images = np.stack([digit.image for digit in digits])
    named = training.predict(model_files.load(model_files.SHIPPED), images).argmax(axis=1)
    doubted = sum(digit.doubt is not None for digit in digits)
    return len(pictures) - len(labels), int((named == np.array(labels)).sum()), doubted


def photograph(number: int, seed: int) -> bytes:
    """Return the file of a square out of one of scikit-image's photographs."""
    import skimage.data

    random = np.random.default_rng([seed, number])
    folder, name = Path(skimage.data.__file__).parent, PHOTOGRAPHS[number % len(PHOTOGRAPHS)]
    with Image.open(folder / name) as image:
        side = int(random.integers(min(image.size) // 4, min(image.size) + 1))
        left, top = (int(random.integers(0, length - side + 1)) for length in image.size)
        return square(image, left, top, side)


def square(image: Image.Image, left: int, top: int, side: int) -> bytes:
    """Return the file of a square out of a picture."""
    file = io.BytesIO()
    image.convert("RGB").crop((left, top, left + side, top + side)).save(file, "JPEG")
    return file.getvalue()


def mnist_row(
    number: int, seed: int, digits: shapes.Digits, *, axis: int = 1
) -> tuple[bytes, list[int]]:
    """Return the file of two or three of MNIST's images, with a margin, and its labels.

    They stand in a row, or with `axis` 0 in a column.
    """
    random = np.random.default_rng([seed, number])
    chosen = random.integers(0, len(digits.images), random.integers(2, 4))
    row = np.pad(np.concatenate(digits.images[chosen], axis=axis), 4).astype(float)
    ink = np.kron(row, np.ones((random.integers(1, 9),) * 2))
    pixels = 255 * (ink if random.random() < 0.5 else 1 - ink)
    return shapes.saved(pixels, "PNG", random), digits.labels[chosen].tolist()


def score_rows(rows: list[tuple[bytes, list[int]]]) -> int:
    """Return in how many pictures each digit was found and named correctly."""
    found = [
        [digit.image for digit in preprocessing.digits(io.BytesIO(file), many=True)]
        for file, _ in rows
    ]
    ends = np.cumsum([len(images) for images in found])
    named = training.predict(model_files.load(model_files.SHIPPED), np.concatenate(found))
    split = np.split(named.argmax(axis=1), ends[:-1])
    return sum(each.tolist() == labels for each, (_, labels) in zip(split, rows, strict=True))


if __name__ == "__main__":
    main()
