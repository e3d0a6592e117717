"""How far back a network remembers: `python -m benchmarks.blanks`.

A simple RNN and an LSTM read an image, and then blank rows before they are asked. The script's
learning rate may suit one of them only: each is trained with a tenth of it as well.
"""

from pathlib import Path
from statistics import mean

from benchmarks import record, sweep
from lstm_mnist.studies import records

NAME = "blanks"
BLANKS = (0, 28, 56, 112)
CELLS = {"lstm": ("LSTM", "o"), "rnn": ("simple RNN", "s")}
LEARNING_RATES = (0.01, 0.001)


def main() -> None:
    """Train every point, write the runs and draw them."""
    runs = {
        f"{cell}-rate{rate}-blanks{blanks}-seed{each.seed}": each
        for cell in CELLS
        for rate in LEARNING_RATES
        for blanks in BLANKS
        for each in sweep.settings(cell=cell, learning_rate=rate, blanks=blanks)
    }
    draw(sweep.main(__doc__, NAME, runs), record.FOLDER / f"{NAME}.svg")


def table(runs: list[records.Record]) -> str:
    """Return the means, and the ranges, in Markdown."""
    lines = [
        f"| learning rate | blank rows: {' | '.join(map(str, BLANKS))} |",
        f"|---|{'--:|' * len(BLANKS)}",
    ]
    for cell, (label, _) in CELLS.items():
        for rate in LEARNING_RATES:
            accuracies = sweep.finals(runs, "blanks", cell=cell, learning_rate=rate)
            cells = [
                f"{mean(found):.1f} ({min(found):.1f} to {max(found):.1f})"
                for found in (accuracies[blanks] for blanks in BLANKS)
            ]
            lines.append(f"| {label}, {rate} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(runs: list[records.Record], path: Path) -> None:
    """Draw accuracy against the number of blank rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for cell, (label, marker) in CELLS.items():
        for rate in LEARNING_RATES:
            accuracies = sweep.finals(runs, "blanks", cell=cell, learning_rate=rate)
            sweep.plot(axes, accuracies, f"{label}, learning rate {rate}", marker)
    axes.set_xticks(BLANKS)
    axes.set_ylim(0, 100)
    sweep.finish(figure, axes, path, "blank rows after the image")


if __name__ == "__main__":
    main()
