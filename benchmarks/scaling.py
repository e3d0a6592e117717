"""How an epoch's time grows with units, batch size and threads: `python -m benchmarks.scaling`.

This project, PyTorch and stock Keras, each in a process of its own, are measured in turns on a
fraction of an epoch, which is scaled to a whole one: the smaller the longer a step takes, and the
larger the fewer steps an epoch has.
"""

import argparse
import contextlib
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import contenders, record
from benchmarks.processes import Worker, machine
from lstm_mnist import data
from lstm_mnist.config import Config
from lstm_mnist.system import files, runtime

CONTENDERS = ("ours", "pytorch", "stock_keras")
ROUNDS = 3


class Point(NamedTuple):
    """A value for each quantity that is varied."""

    units: int = Config.units
    batch_size: int = Config.batch_size
    threads: int = runtime.cores()

    @property
    def fraction(self) -> float:
        """Return the fraction of an epoch on which this point is measured."""
        return min(1.0, 0.1 * self.batch_size / self.units)


AXES = {
    "units": (50, 100, 200, 400, 800),
    "batch_size": (25, 50, 100, 200, 400, 800, 1600),
    "threads": tuple(
        sorted({*(2**power for power in range(runtime.cores().bit_length())), runtime.cores()})
    ),
}
POINTS = {axis: [Point(**{axis: value}) for value in values] for axis, values in AXES.items()}


def main() -> None:
    """Measure every point, write the results and draw them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--output_dir", type=Path, default=record.FOLDER)
    arguments = parser.parse_args()

    dataset = data.load()
    seconds: dict[Point, dict[str, float]] = {}
    for point in dict.fromkeys(point for points in POINTS.values() for point in points):
        seconds[point] = measure(point, dataset)
        print(point, seconds[point], flush=True)
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    files.write_json(
        arguments.output_dir / "scaling.json",
        {
            **record.circumstances(machine()),
            "points": [
                {**point._asdict(), "fraction": point.fraction, "epoch_seconds": epoch_seconds}
                for point, epoch_seconds in seconds.items()
            ],
        },
    )
    draw(seconds, arguments.output_dir / "scaling.svg")


def measure(point: Point, dataset: data.Dataset) -> dict[str, float]:
    """Return the contenders' seconds per epoch, medians over some rounds."""
    config = Config(units=point.units, batch_size=point.batch_size)
    part = data.Dataset(*(_first(split, point.fraction) for split in dataset))
    steps = len(part.train.labels) // point.batch_size
    whole_steps = len(dataset.train.labels) / point.batch_size
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(point.threads)) for name in CONTENDERS}
        for name, worker in workers.items():
            worker.call(contenders.start, name, config, part)
            worker.call(contenders.epoch)  # traces and compiles
        rounds = [
            {name: worker.call(contenders.epoch) for name, worker in workers.items()}
            for _ in range(ROUNDS)
        ]
    return {
        name: median(
            epochs[name].fit_seconds * whole_steps / steps
            + epochs[name].evaluate_seconds / point.fraction
            for epochs in rounds
        )
        for name in CONTENDERS
    }


def _first(split: data.Split, fraction: float) -> data.Split:
    return split.part(slice(int(fraction * len(split.labels))))


def draw(seconds: dict[Point, dict[str, float]], path: Path) -> None:
    """Draw one panel for each quantity that is varied."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(12, 4), layout="constrained")
    panels = figure.subplots(1, len(POINTS), sharey=True)
    for panel, (axis, points) in zip(panels, POINTS.items(), strict=True):
        for name in CONTENDERS:
            epoch_seconds = [seconds[point][name] for point in points]
            panel.plot(AXES[axis], epoch_seconds, "o-", label=contenders.LABELS[name])
        panel.set(xscale="log", yscale="log", xlabel=axis.replace("_", " "))
        panel.set_xticks(AXES[axis], labels=[str(value) for value in AXES[axis]])
        panel.minorticks_off()
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds per epoch")
    panels[0].legend()
    record.save(figure, path)


if __name__ == "__main__":
    main()
