"""How well drawn pictures are read, and how often doubted: `python -m benchmarks.pictures`."""

import argparse
import io
import os

import numpy as np

from benchmarks import drawn
from benchmarks.drawn import shapes
from lstm_mnist import data, training
from lstm_mnist.digits import likeness, preprocessing
from lstm_mnist.runs import model_files
from lstm_mnist.system.errors import PictureError


def main() -> None:
    """Print a row of a table for each kind: pictures, and how many were unread, right, doubted."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = [*drawn.KINDS, "MNIST", *drawn.OTHERS, "pair, --many", "MNIST row, --many"]
    # argparse holds what it got against the choices as a whole where it got nothing.
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
            unread, right = score(pictures)
            print(f"| {kind} | {len(pictures)} | {unread} | {right} | |", flush=True)
            continue
        if kind.endswith("--many"):
            draw = drawn.draw_pair if kind.startswith("pair") else mnist_row
            rows = [draw(number, arguments.seed, digits) for number in numbers]
            print(f"| {kind} | {len(rows)} | | {score_rows(rows)} | |", flush=True)
            continue
        if kind == "MNIST":
            images = list(digits.images)
        else:
            files = (drawn.draw_other(kind, number, arguments.seed, digits) for number in numbers)
            images = [preprocessing.read(io.BytesIO(file)) for file in files]
        doubted = sum(likeness.doubt(image) is not None for image in images)
        print(f"| {kind} | {len(images)} | | | {doubted} |", flush=True)


def score(pictures: list[tuple[bytes, int]]) -> tuple[int, int]:
    """Return how many pictures could not be read, and how many were named right."""
    images, labels = [], []
    for file, label in pictures:
        try:
            images.append(preprocessing.read(io.BytesIO(file)))
        except PictureError:
            continue
        labels.append(label)
    named = training.predict(model_files.load(model_files.SHIPPED), np.stack(images)).argmax(axis=1)
    return len(pictures) - len(images), int((named == np.array(labels)).sum())


def mnist_row(number: int, seed: int, digits: shapes.Digits) -> tuple[bytes, list[int]]:
    """Return the file of two or three of MNIST's images in a row, with a margin, and its labels."""
    random = np.random.default_rng([seed, number])
    chosen = random.integers(0, len(digits.images), random.integers(2, 4))
    row = np.pad(np.concatenate(digits.images[chosen], axis=1), 4).astype(float)
    ink = np.kron(row, np.ones((random.integers(1, 9),) * 2))
    pixels = 255 * (ink if random.random() < 0.5 else 1 - ink)
    return shapes.saved(pixels, "PNG", random), digits.labels[chosen].tolist()


def score_rows(rows: list[tuple[bytes, list[int]]]) -> int:
    """Return in how many pictures each digit was found and named right."""
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
