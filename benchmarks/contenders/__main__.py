"""A whole run of a contender: `python -m benchmarks.contenders NAME CONFIG DATASET`.

CONFIG is a Config as JSON, DATASET what `pack` wrote. The accuracy over the test images after the
last epoch is printed.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks import contenders
from lstm_mnist.config import Config
from lstm_mnist.data import Dataset, Split


def main() -> None:
    """Train, with all accuracies after every epoch, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contenders", description=__doc__)
    parser.add_argument("name", choices=contenders.LABELS)
    parser.add_argument("config", type=json.loads)
    parser.add_argument("dataset", type=Path)
    arguments = parser.parse_args()

    config = Config(**arguments.config)
    contenders.start(arguments.name, config, unpack(arguments.dataset))
    epochs = [contenders.epoch() for _ in range(config.epochs)]
    print(epochs[-1].test_accuracy)


def pack(path: Path, dataset: Dataset) -> None:
    """Write a dataset as one file, which any contender reads in a moment."""
    np.savez(path, *(array for split in dataset for array in split))


def unpack(path: Path) -> Dataset:
    """Read what `pack` wrote."""
    with np.load(path) as arrays:
        values = iter([arrays[name] for name in arrays.files])
    return Dataset(*(Split(next(values), next(values)) for _ in Dataset._fields))


if __name__ == "__main__":
    main()
