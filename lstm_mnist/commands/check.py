"""Check the accuracies of finished runs against thresholds."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from lstm_mnist import study
from lstm_mnist.commands import common, thresholds
from lstm_mnist.errors import AccuracyError, UsageError

flags.adopt_module_key_flags(thresholds)
flags.declare_key_flag(common.HELP.name)


def main(arguments: Sequence[str]) -> int:
    """Run the command on run folders or study files. Raises UserError, after all were checked."""
    if not arguments:
        raise UsageError("check needs the folder of a run: check RUN_DIR ... [--flag=value ...]")
    gate = thresholds.wanted()
    failures = []
    for run in study.read(map(Path, arguments)):
        epoch = getattr(run, gate.epoch)
        train, test = epoch.percent("train"), epoch.percent("test")
        try:
            gate.check(run.folder, train=train, test=test)
        except AccuracyError as error:
            failures.append(str(error))
        print(f"{run.folder}: {gate.epoch} epoch: train {train:.2f} %, test {test:.2f} %")
    if failures:
        raise AccuracyError("; ".join(failures))
    return 0
