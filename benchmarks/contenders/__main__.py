"""A whole run of a contender: `python -m benchmarks.contenders NAME CONFIG DATASET`.

CONFIG is a Config as JSON, DATASET what `data.write_decoded` wrote. The accuracy over the test
images after the last epoch is printed.
"""

import argparse
import json
from pathlib import Path

from benchmarks import contenders
from lstm_mnist import data
from lstm_mnist.config import Config


def main() -> None:
    """Train, with all accuracies after every epoch, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contenders", description=__doc__)
    parser.add_argument("name", choices=contenders.LABELS)
    parser.add_argument("config", type=json.loads)
    parser.add_argument("dataset", type=Path)
    arguments = parser.parse_args()

    config = Config(**arguments.config)
    dataset = data.Dataset(**data.read_decoded(arguments.dataset))
    contenders.start(arguments.name, config, dataset)
    epochs = [contenders.epoch() for _ in range(config.epochs)]
    print(epochs[-1].test_accuracy)


if __name__ == "__main__":
    main()
