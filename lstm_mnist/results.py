"""What a run yields while it trains: scores, epochs, dynamics, and the state to continue from."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lstm_mnist.config import Config

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Score:
    """A network's result on all examples of a split."""

    correct: int
    total: int
    loss: float  # mean softmax cross-entropy, nats

    @property
    def percent(self) -> float:
        """Return the accuracy in percent."""
        return 100 * self.correct / self.total


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One epoch's results."""

    number: int  # from 1
    training_loss: float  # mean over the batches, each before its update
    train: Score
    validation: Score
    test: Score
    training_seconds: float = math.nan  # unknown for finished runs that are read back
    evaluation_seconds: float = math.nan

    @property
    def scores(self) -> dict[str, Score]:
        """Return the three splits' scores by their names."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run up to its last finished epoch."""

    config: Config
    epochs: tuple[Epoch, ...] = ()

    @property
    def final(self) -> Epoch:
        """Return the last epoch."""
        return self.epochs[-1]

    @property
    def best(self) -> Epoch:
        """Return the epoch with the most correct held-out images, the earliest if tied."""
        return max(self.epochs, key=lambda epoch: epoch.validation.correct)

    def curve(self, split: str) -> list[float]:
        """Return the accuracy on a split after each epoch, in percent."""
        return [epoch.scores[split].percent for epoch in self.epochs]

    @property
    def test_curve(self) -> list[float]:
        """Return the test accuracy after each epoch, in percent."""
        return self.curve("test")


class EpochDynamics(NamedTuple):
    """How a network's state and gradients behave at the end of an epoch; see docs/protocol.md.

    Always measured on the same training images. None stands for what is not finite.
    """

    epoch: int  # from 1
    loss: float | None  # mean softmax cross-entropy, nats
    gradient_norm: float | None  # of the loss, over all weights
    gain: float | None  # median growth of a small error in the state over the last time steps
    saturated: float | None  # share of gate inputs outside +-2.5; simple RNNs have no gates
    cell_mean: float | None  # mean and largest |c|, or |s| of simple RNNs, after the last time step
    cell_max: float | None
    weight_norm: float | None  # of all weights
    recurrent_norm: float | None  # of the recurrent weights


@dataclasses.dataclass(frozen=True)
class State:
    """Where a run stands: all it takes to continue as if it had not been interrupted."""

    run: Run
    step: int  # steps taken in the epoch that follows the finished ones
    step_seconds: float  # how long they took
    weights: Sequence["NDArray[Any]"]
    optimizer: Sequence["NDArray[Any]"]
    metrics: Sequence["NDArray[Any]"]  # the mean loss of the epoch so far
    best: Sequence["NDArray[Any]"] = ()  # the weights after the best epoch


class Observer:
    """Watches a run; subclasses override what they need."""

    # Called as Keras' `fit` does; an epoch's logs hold loss, accuracy, val_loss, val_accuracy and
    # test_accuracy.
    callbacks: Sequence["keras.callbacks.Callback"] = ()

    def save(self, state: State) -> None:
        """Keep a state: the initial one, the one after each epoch, and the one of a stopped run."""

    def tell(self, run: Run) -> None:
        """Report the last epoch of `run`, whose state has been saved."""

    def stop_requested(self) -> bool:
        """Return whether to save and stop; asked after every execution of steps and every split."""
        return False
