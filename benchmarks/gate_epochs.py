"""Runs of `stable` with few epochs, to choose the gate's from: `python -m benchmarks.gate_epochs`.

Writes `results/gate_epochs.json`. Runs that `runs/gate_epochs` holds are not trained again.
"""

import itertools
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import record, simulated_gates
from lstm_mnist.studies import records
from lstm_mnist.studies.calibration import Baseline
from lstm_mnist.studies.gate import Plan
from lstm_mnist.studies.statistics import summarise

PATH = record.FOLDER / "gate_epochs.json"
FOLDER = Path("runs", "gate_epochs")
EPOCHS = (1, 2, 3, 4, 5)
RUNS, GATES = 10, 20_000
CALIBRATED = 40  # runs of the calibration that is simulated


def main() -> None:
    """Train what is missing, and write all runs."""
    folders = [FOLDER / str(epochs) for epochs in EPOCHS]
    for epochs, folder in zip(EPOCHS, folders, strict=True):
        calibrate = ("gate", "--calibrate", f"--runs={RUNS}", f"--epochs={epochs}")
        files = (f"--study_dir={folder}", f"--save={folder}.json")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "lstm_mnist", *calibrate, *files], check=True)
    records.write(PATH, records.read(folders))


def committed() -> list[records.Record]:
    """Return the runs. Raises FileNotFoundError before they are made."""
    PATH.stat()
    return records.read([PATH])


def table(runs: Sequence[records.Record]) -> str:
    """Return what gates of each number of epochs would take, in Markdown."""
    lines = [
        "| epochs | runs | mean | sd | seconds of a run: median | runs of a gate: mean | seconds |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    plan = Plan()
    for epochs, group in itertools.groupby(runs, key=lambda run: run.config.epochs):
        trained = [*group]
        sample = summarise([run.final.test.percent for run in trained])
        seconds = statistics.median(run.seconds for run in trained)
        baseline = Baseline(CALIBRATED, sample.mean, sample.sd)
        gate = simulated_gates.simulate(baseline, plan, 0.0, gates=GATES)
        lines.append(
            f"| {epochs} | {sample.count} | {sample.mean:.2f} | {sample.sd:.3f} | {seconds:.1f} "
            f"| {gate.mean_runs:.1f} | {seconds * gate.mean_runs:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
