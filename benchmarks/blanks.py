"""How far back a network remembers: `python -m benchmarks.blanks`.

A simple RNN and an LSTM read an image, and then blank rows before they are asked.
"""

from pathlib import Path

from benchmarks import record, sweep
from lstm_mnist import study

NAME = "blanks"
BLANKS = (0, 28, 56, 112)
CELLS = {"lstm": ("LSTM", "o"), "rnn": ("simple RNN", "s")}


def main() -> None:
    """Train every point, write the runs and draw them."""
    runs = {
        f"{cell}-blanks{blanks}-seed{each.seed}": each
        for cell in CELLS
        for blanks in BLANKS
        for each in sweep.settings(cell=cell, blanks=blanks)
    }
    draw(sweep.main(__doc__, NAME, runs), record.FOLDER / f"{NAME}.svg")


def draw(runs: list[study.Run], path: Path) -> None:
    """Draw accuracy against the number of blank rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for cell, (label, marker) in CELLS.items():
        sweep.plot(axes, sweep.finals(runs, "blanks", cell=cell), label, marker)
    axes.set_xticks(BLANKS)
    axes.set_ylim(0, 100)
    sweep.finish(figure, axes, path, "blank rows after the image")


if __name__ == "__main__":
    main()
