"""Many runs whose settings vary, trained side by side and kept as one file beside this module."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks import record
from lstm_mnist import config
from lstm_mnist.studies import fleet, records, reference
from lstm_mnist.system import runtime

SEEDS = range(3)
# `stable`, which ends near its best epoch, cut short: networks and inputs are what is compared.
EPOCHS = 5


def settings(**changes: Any) -> list[config.Config]:
    """Return the settings of one point of a sweep, for every seed."""
    return [config.variant("stable", epochs=EPOCHS, seed=seed, **changes) for seed in SEEDS]


def main(description: str, name: str, runs: Mapping[str, config.Config]) -> list[records.Record]:
    """Read flags, train what is missing, write `results/<name>.json` and return its runs.

    `runs` maps the names of folders to settings.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--study_dir", type=Path, default=Path("runs", name))
    parser.add_argument("--data_dir", help="as of the other commands")
    arguments = parser.parse_args()

    folder: Path = arguments.study_dir
    paths = {folder / label: each for label, each in runs.items()}
    with fleet.only_one(folder):
        if missing := fleet.missing(paths):
            for path in fleet.train(
                missing, data_dir=arguments.data_dir, device="cpu", workers=runtime.cores()
            ):
                print(f"{path}: {records.read_folder(path).final.test.percent:.2f} %", flush=True)
    result = records.read(paths)
    records.write(path_of(name), result)
    return result


def path_of(name: str) -> Path:
    """Return the file of a sweep's runs."""
    return record.FOLDER / f"{name}.json"


def finals(runs: Iterable[records.Record], setting: str, **wanted: Any) -> dict[Any, list[float]]:
    """Return the final test accuracies in percent by a setting's value, of the runs wanted."""
    values: dict[Any, list[float]] = {}
    for run in runs:
        if all(getattr(run.config, key) == value for key, value in wanted.items()):
            values.setdefault(getattr(run.config, setting), []).append(run.final.test.percent)
    return values


def plot(axes: Any, accuracies: Mapping[Any, Sequence[float]], label: str, marker: str) -> None:
    """Draw the means as a line, and every run as a dot."""
    points = sorted(accuracies)
    (line,) = axes.plot(
        points, [mean(accuracies[point]) for point in points], marker=marker, label=label
    )
    for point in points:
        axes.plot(
            [point] * len(accuracies[point]),
            accuracies[point],
            linestyle="",
            marker=".",
            color=line.get_color(),
            alpha=0.4,
        )


def finish(figure: Any, axes: Any, path: Path, xlabel: str) -> None:
    """Label the axes and save the picture."""
    reported = reference.REPORTED_TEST
    label = f"reported: {reported} %"
    axes.axhline(reported, linestyle="--", linewidth=0.8, color="grey", label=label)
    axes.set(xlabel=xlabel, ylabel="test accuracy %")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    record.save(figure, path)
