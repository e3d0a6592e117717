"""What a gate compares with: runs of an unchanged program, and golden values of its first steps."""

import dataclasses
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lstm_mnist.config import TOTALS, Config
from lstm_mnist.studies import evidence, pooling, records
from lstm_mnist.studies.gate import Gate
from lstm_mnist.system import files
from lstm_mnist.system.errors import DataError, UsageError

COMMITTED = records.COMMITTED / "gate.json"
MIN_RUNS = 10  # the spread of fewer is hardly known
GOLDEN_STEPS = 6  # in each epoch of the short training


class Golden(NamedTuple):
    """The results of a short training, to the last bit."""

    losses: tuple[float, ...]  # of every step, nats
    sha256: str  # of the final weights and scores


class Baseline(NamedTuple):
    """The calibration's results: test accuracies after the final epoch, in percent."""

    size: int
    mean: float
    sd: float


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Runs of one recipe by one arithmetic, in order of seed."""

    name: str
    runs: tuple[records.Record, ...]
    golden: Golden

    @property
    def config(self) -> Config:
        """Return the settings of the first run."""
        return self.runs[0].config

    @property
    def arithmetic(self) -> str:
        """Return what decided the runs' bits: `library.arithmetic`, and the GPU, if any."""
        return on(self.runs[0].arithmetic, self.runs[0].device["kind"])

    def check(self, arithmetic: str) -> None:
        """Raise UsageError if the arithmetic is not the runs'."""
        if arithmetic != self.arithmetic:
            raise UsageError(
                f"{self.name} was calibrated by arithmetic {self.arithmetic}, and here it is "
                f"{arithmetic}: calibrate here by --calibrate, and give that file to --against"
            )

    def check_seeds(self, seeds: Iterable[int]) -> None:
        """Raise UsageError where one of the runs has one of the seeds."""
        if taken := {run.config.seed for run in self.runs} & {*seeds}:
            raise UsageError(
                f"seed {min(taken)} is one of the calibration's in {self.name}: take other seeds"
            )

    @property
    def versions(self) -> dict[str, str]:
        """Return the versions of Python and packages that the runs were made with."""
        return self.runs[0].versions

    @property
    def baseline(self) -> Baseline:
        """Return a summary of the runs' results."""
        accuracies = [run.final.test.percent for run in self.runs]
        return Baseline(len(accuracies), statistics.mean(accuracies), statistics.stdev(accuracies))


def on(arithmetic: str, device: str) -> str:
    """Return an arithmetic's name with the kind of device it is on, unless it is a CPU."""
    return arithmetic if device == "CPU" else f"{arithmetic} on a {device}"


def read(path: Path) -> Calibration:
    """Read a calibration. Raises DataError if it is not one, or mixes kinds of runs."""
    try:
        golden, study = evidence.calibration(files.read(path))
        name = "the package's calibration" if path == COMMITTED else str(path)
        return made(name, records.runs_of(study), Golden(tuple(golden["losses"]), golden["sha256"]))
    except OSError as error:
        raise DataError(f"{path} is unreadable: {error.strerror}") from error
    except (ValueError, UsageError) as error:
        raise DataError(f"{path} is not a gate's calibration: {error}") from error


def check_batches(config: Config) -> None:
    """Raise UsageError where there are too few images for the golden values' batches."""
    if GOLDEN_STEPS * config.batch_size > TOTALS["train"]:
        raise UsageError(
            f"--batch_size={config.batch_size}: the first {GOLDEN_STEPS} batches would hold more "
            f"than {TOTALS['train']} images: take a smaller one"
        )


def made(name: str, runs: Iterable[records.Record], golden: Golden) -> Calibration:
    """Return a calibration of runs. Raises ValueError or UsageError if they are unsuitable."""
    groups = list(pooling.pooled([*runs]).values())
    if len(groups) > 1:
        raise ValueError("its runs are of several recipes")
    (group,) = groups
    if len(group) < MIN_RUNS:
        raise ValueError(f"it has {len(group)} runs: at least {MIN_RUNS} are needed")
    if len({frozenset(run.versions.items()) for run in group}) > 1:
        raise ValueError("its runs were made by versions of packages that differ")
    if any(run.diverged for run in group):
        raise ValueError("a run of it has diverged")
    if len({run.program for run in group}) > 1:
        raise ValueError("its runs were made by commits or states of this program that differ")
    first = group[0]
    if first.program_sha256 is None and (first.git is None or first.git["changed"]):
        raise ValueError("it is not known that one state of this program made all of its runs")
    if any(run.final.test.percent > Gate.max_test_accuracy for run in group):
        raise ValueError(f"a run of it is above {Gate.max_test_accuracy} %")
    calibration = Calibration(name, tuple(group), golden)
    if not calibration.baseline.sd:
        raise ValueError("its runs do not differ")
    return calibration


def write(path: Path, calibration: Calibration) -> None:
    """Write a calibration. Raises OutputError."""
    records.write(path, calibration.runs, golden=calibration.golden._asdict())
