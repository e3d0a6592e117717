"""Check the accuracies of finished runs against thresholds."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from lstm_mnist.commands import common, paths, thresholds
from lstm_mnist.runs import run_folder
from lstm_mnist.studies import gate, records
from lstm_mnist.system import runtime
from lstm_mnist.system.errors import DataError, UsageError

if TYPE_CHECKING:
    import keras

_EVALUATE = flags.DEFINE_bool(
    "evaluate",
    False,
    "Score best.keras and final.keras of each run's folder again on MNIST; other counts than the "
    "run's files tell are exit code 3.",
)
flags.adopt_module_key_flags(thresholds)
for _flag in (common.DATA_DIR, common.DEVICE, common.HELP):
    flags.declare_key_flag(_flag.name)


def main(arguments: Sequence[str]) -> int:
    """Run the command on run folders or study files. Raises UserError, once all are checked."""
    named = paths.given(
        arguments, "check needs the folder of a run: check RUN_DIR ... [--flag=value ...]"
    )
    wanted = thresholds.wanted()
    if _EVALUATE.value and (files := [path for path in named if path.is_file()]):
        raise UsageError(f"--evaluate: {files[0]} is a file and holds no networks: give folders")
    for flag in () if _EVALUATE.value else (common.DATA_DIR, common.DEVICE):
        if flag.present:
            raise UsageError(f"--{flag.name} is for --evaluate: give that too, or omit the flag")
    runs = records.read(named)
    if _EVALUATE.value:
        _evaluate([folder for path in named for folder in records.folders(path)], runs)
    lines, failures = [], []
    for run in runs:
        failures += wanted.failures_of_run(run.folder, run)
        judged = wanted.judged(run.config)
        epoch = getattr(run, judged)
        train, test = (
            gate.accuracy(split, epoch.scores[split].correct) for split in ("train", "test")
        )
        lines.append(f"{run.folder}: {judged} epoch: train {train}, test {test}")
    with gate.enforced(failures):
        if wanted.asks:
            from lstm_mnist.studies import alarms

            # Printed once where it is the same for several runs.
            lines += dict.fromkeys(f"{run.label}: {alarms.told(wanted, run)}" for run in runs)
        print("\n".join(lines), flush=True)
    return 0


def _evaluate(folders: Sequence[Path], runs: Sequence[records.Record]) -> None:
    """Score the networks of runs again. Raises DataError if one is not what its run's files say."""
    data_dir = common.data_dir()
    runtime.start(common.DEVICE.value, "keras")
    from lstm_mnist import data, networks, training
    from lstm_mnist.runs import model_files

    dataset = data.load(data_dir, progress=common.progress())
    for folder, run in zip(folders, runs, strict=True):
        for name, epoch in ((run_folder.BEST_MODEL, run.best), (run_folder.FINAL_MODEL, run.final)):
            path = folder / name
            network = model_files.load(path)
            # By whatever kernel the run was: all have the same weights.
            expected = networks.build(dataclasses.replace(run.config, kernel="keras"))
            if _shapes(network) != _shapes(expected):
                raise DataError(f"{path} is not the network of its run's settings")
            for split, examples in dataset._asdict().items():
                scored = training.evaluate(network, examples).correct
                told = epoch.scores[split].correct
                if scored != told:
                    raise DataError(
                        f"{path} classifies {gate.accuracy(split, scored)} {split} images "
                        f"correctly, not {told} as the run's files say"
                    )


def _shapes(network: "keras.Model") -> list[tuple[int, ...]]:
    return [weight.shape for weight in network.weights]
