"""Seconds to the reported accuracy, as MLPerf measures: `python -m benchmarks.time_to_accuracy`.

Timed is a whole process: start, imports, compilation, training, and the accuracies after every
epoch. It succeeds if the accuracy over the test images after its last epoch is at least the
reported one. How many epochs it takes is chosen beforehand, on the held-out images and with other
seeds: the fewest with which every one of these reaches that accuracy. What the file of results has
is not run again.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks import contenders, record
from benchmarks.processes import machine
from lstm_mnist import config, data
from lstm_mnist.runs import run_folder
from lstm_mnist.studies import reference
from lstm_mnist.system import files

SEEDS, CHOOSING_SEEDS = range(5), range(100, 105)
MAX_EPOCHS = 6
HELD_OUT, TEST = "held-out", "test"
PATH = record.FOLDER / "time_to_accuracy.json"


# A contender, and the recipe that it trains by.
ENTRIES = (
    ("ours", "stable"),
    ("pytorch", "stable"),
    ("jax_scan", "stable"),
    ("stock_keras", "stable"),
)


class Task(NamedTuple):
    """A run to be timed; `images` are those that are scored."""

    contender: str
    variant: str
    epochs: int
    seed: int
    images: str


class Outcome(NamedTuple):
    """A run's seconds, and its accuracy after the last epoch in percent."""

    seconds: float
    accuracy: float

    @property
    def reached(self) -> bool:
        """Return whether the accuracy is at least the reported one."""
        return self.accuracy >= reference.REPORTED_TEST


Outcomes = dict[Task, Outcome]


def main() -> None:
    """Choose the epochs, measure, write the results after every run and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.time_to_accuracy", description=__doc__
    )
    parser.add_argument("--output", type=Path, default=PATH)
    path: Path = parser.parse_args().output

    circumstances = record.circumstances(machine())
    outcomes = outcomes_of(record.kept(path, circumstances)["runs"]) if path.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        runner = Runner(Path(name), data.load())

        def outcome(task: Task) -> Outcome:
            if task not in outcomes:
                outcomes[task] = runner.run(task)
                runs = [{**task._asdict(), **outcomes[task]._asdict()} for task in outcomes]
                files.write_json(path, {**circumstances, "runs": runs})
                print(*task, *outcomes[task], flush=True)
            return outcomes[task]

        epochs = {entry: chosen_epochs(entry, outcome) for entry in ENTRIES}
        for seed in SEEDS:
            for entry, count in epochs.items():
                outcome(Task(*entry, count, seed, TEST))
    print(table(outcomes))


def chosen_epochs(entry: tuple[str, str], outcome: Callable[[Task], Outcome]) -> int:
    """Return the fewest epochs with which all of CHOOSING_SEEDS reach the accuracy."""
    for epochs in range(1, MAX_EPOCHS + 1):
        tasks = (Task(*entry, epochs, seed, HELD_OUT) for seed in CHOOSING_SEEDS)
        if all(outcome(task).reached for task in tasks):
            return epochs
    raise SystemExit(f"{entry} does not reach {reference.REPORTED_TEST} % in {MAX_EPOCHS} epochs")


class Runner:
    """Runs tasks, each in a new process."""

    def __init__(self, folder: Path, dataset: data.Dataset) -> None:
        self._folder = folder
        held_out = dataset._replace(test=dataset.validation)
        for images, scored in ((TEST, dataset), (HELD_OUT, held_out)):
            data.write_decoded(folder / f"{images}.npz", scored._asdict())

    def run(self, task: Task) -> Outcome:
        """Run a task and return its outcome."""
        execute = self._execute_ours if task.contender == "ours" else self._execute
        started = time.perf_counter()
        accuracy = execute(task)
        return Outcome(round(time.perf_counter() - started, 2), round(accuracy, 2))

    def _execute_ours(self, task: Task) -> float:
        """Run the program as its users do; it scores all images."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            recipe = [f"--{name}={getattr(task, name)}" for name in ("variant", "epochs", "seed")]
            _python("lstm_mnist", *recipe, f"--output_dir={folder}")
            result = json.loads(Path(folder, run_folder.RESULT).read_text(encoding="utf-8"))
        score = result["final"]["validation" if task.images == HELD_OUT else "test"]
        return 100 * float(score["correct"]) / float(score["total"])

    def _execute(self, task: Task) -> float:
        settings = config.variant(task.variant, epochs=task.epochs, seed=task.seed)
        asked = json.dumps(dataclasses.asdict(settings))
        dataset = self._folder / f"{task.images}.npz"
        return 100 * float(_python("benchmarks.contenders", task.contender, asked, str(dataset)))


def _python(module: str, *arguments: str) -> str:
    """Run a module in a process of its own, without a GPU, and return what it prints."""
    return subprocess.run(
        (sys.executable, "-m", module, *arguments),
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def outcomes_of(runs: list[dict[str, Any]]) -> Outcomes:
    """Return the outcomes of the runs in a file of results, by their tasks."""
    return {
        Task(**{name: run[name] for name in Task._fields}): Outcome(
            **{name: run[name] for name in Outcome._fields}
        )
        for run in runs
    }


def table(outcomes: Outcomes) -> str:
    """Return the runs that were scored on the test images, in Markdown."""
    lines = [
        "| | recipe | epochs | reached | seconds: median (range) | ours ÷ it | test accuracy % |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    ours = [run.seconds for run in _measured(outcomes, *ENTRIES[0]).values()]
    for entry in ENTRIES:
        runs = _measured(outcomes, *entry)
        seconds, accuracies = zip(*runs.values(), strict=True)
        ratio = median(above / below for above, below in zip(ours, seconds, strict=True))
        (epochs,) = {task.epochs for task in runs}
        lines.append(
            f"| {contenders.LABELS[entry[0]]} | `{entry[1]}` | {epochs} "
            f"| {sum(run.reached for run in runs.values())} of {len(runs)} "
            f"| {record.spread(seconds, digits=1)} | {ratio:.2f} "
            f"| {min(accuracies):.2f}..{max(accuracies):.2f} |"
        )
    return "\n".join(lines) + "\n"


def _measured(outcomes: Outcomes, contender: str, variant: str) -> Outcomes:
    return {
        task: outcome
        for task, outcome in sorted(outcomes.items())
        if (task.contender, task.variant, task.images) == (contender, variant, TEST)
    }


if __name__ == "__main__":
    main()
