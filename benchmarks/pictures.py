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
    kinds = [*drawn.KINDS, "MNIST", *drawn.OTHERS]
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


if __name__ == "__main__":
    main()
