"""This project, with its defaults."""

from benchmarks.contenders import steps
from lstm_mnist import data
from lstm_mnist.config import Config
from lstm_mnist.recurrence import library
from lstm_mnist.system import runtime


class Contender:
    """What `python -m lstm_mnist` does in an epoch, except for the held-out images."""

    def __init__(self, config: Config, dataset: data.Dataset) -> None:
        runtime.start("cpu", library.choose(config.kernel))
        from lstm_mnist import networks, training

        self._training = training
        self._dataset = dataset
        self._steps = steps(config, dataset)
        self._model = training.compiled(networks.build(config), config, steps=self._steps)
        self._batches = training.batches(config, dataset)

    def train_epoch(self) -> None:
        """Train on the run's first epoch."""
        self._model.fit(self._batches, steps_per_epoch=self._steps, shuffle=False, verbose=0)

    def evaluate(self) -> tuple[float, float]:
        """Return the accuracy over all training and over all test images."""
        train, test = (
            self._training.evaluate(self._model, split)
            for split in (self._dataset.train, self._dataset.test)
        )
        return train.correct / train.total, test.correct / test.total
