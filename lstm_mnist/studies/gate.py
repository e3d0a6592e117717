"""Accuracy gates: thresholds that a run must reach, and the plan of a test for a drop."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from statistics import median_low
from typing import Any

from lstm_mnist.config import TOTALS, Config
from lstm_mnist.results import Run
from lstm_mnist.studies.evidence import percent
from lstm_mnist.system.errors import AccuracyError, OutputError, UsageError

EPOCHS = ("best", "final")
# Outcomes of a test for a drop. A quick one whose first steps differ is CHANGED, and one that
# suspects leaked labels is LEAKED.
GOING_ON, PASSED, IMPROVED, REGRESSION, UNDECIDED, CHANGED, LEAKED = STATES = (
    "going on",
    "passed",
    "improved",
    "regression",
    "undecided",
    "changed",
    "too good to be true",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """Thresholds in percent; None asks for nothing. Raises UsageError for what is none."""

    min_train_accuracy: float | None = None
    min_test_accuracy: float | None = None
    # Anything above is taken for leaked labels; the best committed run reached 99.25 %. Training
    # images have no such bound: a network may memorise them.
    max_test_accuracy: float = 99.5
    epoch: str | None = None  # best by held-out images, or final; None: see `judged`

    def __post_init__(self) -> None:
        for name in ("min_train_accuracy", "min_test_accuracy", "max_test_accuracy"):
            value = getattr(self, name)
            if value is None and name != "max_test_accuracy":
                continue
            if fault := _no_number(value) or no_percentage(value):
                raise UsageError(f"{name}={value!r:.40} {fault}")
        if self.epoch not in (None, *EPOCHS):
            raise UsageError(f"epoch={self.epoch} is none of {', '.join(EPOCHS)}")

    @property
    def asks(self) -> bool:
        """Return whether there is a threshold to reach."""
        return (self.min_train_accuracy, self.min_test_accuracy) != (None, None)

    def judged(self, config: Config) -> str:
        """Return which epoch of runs the thresholds are for.

        The last epoch where the learning rate decays to 0: there it spreads less in the committed
        studies. Else the best one by held-out images, as a run may have fallen at its end.
        """
        return self.epoch or ("final" if config.schedule == "cosine" else "best")

    def failures_of_median(self, name: str, runs: Sequence[Run]) -> list[str]:
        """Return a line for each threshold that a group of runs fails.

        The medians have to reach the minima. No run may be too good to be true: the best of them
        answers for all.
        """
        judged = self.judged(runs[0].config)
        epochs = [getattr(run, judged) for run in runs]
        medians = {
            split: median_low(epoch.scores[split].correct for epoch in epochs)
            for split in ("train", "test")
        }
        best = max(epoch.test.correct for epoch in epochs)
        return [
            *self._too_good(f"{name}, best of {len(runs)} runs", judged, best),
            *self._missed(f"{name}, median of {len(runs)} runs", judged, medians),
        ]

    def failures_of_run(self, name: str, run: Run) -> list[str]:
        """Return a line for each threshold that a single run fails."""
        judged = self.judged(run.config)
        epoch = getattr(run, judged)
        return self.failures(name, judged, train=epoch.train.correct, test=epoch.test.correct)

    def failures(self, name: str, epoch: str, *, train: int, test: int) -> list[str]:
        """Return a line for each threshold that numbers of correct images after an epoch fail."""
        correct = {"train": train, "test": test}
        return [*self._too_good(name, epoch, test), *self._missed(name, epoch, correct)]

    def _too_good(self, name: str, epoch: str, test: int) -> Iterator[str]:
        # Negated, so that a NaN fails.
        if not percent("test", test) <= self.max_test_accuracy or test == TOTALS["test"]:
            yield (
                f"{name}: test accuracy {accuracy('test', test)} of the {epoch} epoch is too "
                f"good to be true (more than --max_test_accuracy={shortest(self.max_test_accuracy)}"
                " or all of them): look for leaked labels"
            )

    def _missed(self, name: str, epoch: str, correct: Mapping[str, int]) -> Iterator[str]:
        least = {"train": self.min_train_accuracy, "test": self.min_test_accuracy}
        for split, threshold in least.items():
            if threshold is not None and not percent(split, correct[split]) >= threshold:
                yield (
                    f"{name}: {split} accuracy {accuracy(split, correct[split])} of the {epoch} "
                    f"epoch is below --min_{split}_accuracy={shortest(threshold)}"
                )


MAX_RUNS = 10_000  # more are a slip of the pen
# Exclusive upper bounds of a plan's numbers; the lower bound is 0.
BELOW = {"false_alarm": 1, "power": 1, "drop": 100}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of the test for a drop; see `sequential`. Raises UsageError for one that is none."""

    false_alarm: float = 0.001  # probability that an unchanged program fails
    power: float = 0.95  # probability that a drop of `drop` fails
    drop: float = 0.2  # of the test accuracy, in points
    max_runs: int = 32  # a test still undecided after these fails

    def __post_init__(self) -> None:
        for name, most in BELOW.items():
            value = getattr(self, name)
            if fault := _no_number(value):
                raise UsageError(f"{name}={value!r:.40} {fault}")
            if not 0 < value < most:
                raise UsageError(f"{name}={value} must be above 0 and below {most}")
        if type(self.max_runs) is not int:
            raise UsageError(f"max_runs={self.max_runs!r:.40} is not int")
        if not 2 <= self.max_runs <= MAX_RUNS:
            raise UsageError(f"max_runs={self.max_runs} must be from 2 to {MAX_RUNS}")


def _no_number(value: Any) -> str | None:
    """Return what is wrong with a value that is no number, or None."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return None if known else "is not a number"


def no_percentage(threshold: float | None) -> str | None:
    """Return what is wrong with a threshold in percent, or None."""
    if threshold is None:
        return None
    if not 0 <= threshold <= 100:
        return "must be a percentage, from 0 to 100"
    if 0 < threshold <= 1:
        meant = shortest(round(100 * threshold, 10))
        return f"is a percentage: write {meant} for {meant} %"
    return None


def accuracy(split: str, correct: int) -> str:
    """Return the accuracy on a split as text with all of its digits."""
    return f"{correct} of {TOTALS[split]} ({shortest(percent(split, correct))} %)"


def shortest(number: float) -> str:
    """Return the fewest digits that tell a number from every other one."""
    return repr(number).removesuffix(".0")


@contextlib.contextmanager
def enforced(failures: Sequence[str]) -> Iterator[None]:
    """Raise AccuracyError for failures after the body, even if the body cannot write."""
    try:
        yield
    except (OSError, OutputError) as error:
        if failures:
            reason = getattr(error, "strerror", None) or error
            raise AccuracyError(
                f"{'; '.join(failures)} (and nothing could be written: {reason})"
            ) from error
        raise
    if failures:
        raise AccuracyError("; ".join(failures))
