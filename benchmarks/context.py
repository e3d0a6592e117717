"""How much a finite context costs: `python -m benchmarks.context`.

An N-gram model sees the last N words. Here the script's network sees the last N rows of an image,
from one to all 28.
"""

from pathlib import Path

from benchmarks import record, sweep
from lstm_mnist import config
from lstm_mnist.studies import records

NAME = "context"


def main() -> None:
    """Train every point, write the runs and draw them."""
    runs = {
        f"context{context}-seed{each.seed}": each
        for context in range(1, config.STEPS + 1)
        for each in sweep.settings(context=context)
    }
    draw(sweep.main(__doc__, NAME, runs), record.FOLDER / f"{NAME}.svg")


def draw(runs: list[records.Record], path: Path) -> None:
    """Draw accuracy against context."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    sweep.plot(axes, sweep.finals(runs, "context"), "LSTM", "o")
    axes.set_xticks([1, *range(4, config.STEPS + 1, 4)])
    axes.set_ylim(0, 100)
    sweep.finish(figure, axes, path, "rows that the network sees, the last ones")


if __name__ == "__main__":
    main()
