"""The plots of a report: values in, inline SVG out, by Matplotlib.

A plot is as wide as a phone, so that its text is readable there; the text takes the colour of the
page around it.
"""

import io
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from matplotlib import style
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lstm_mnist.studies import reference

WIDTH = 5.0  # inches; 10-point text is then 10 pixels high on a phone 390 pixels wide
# Readable on white and on black, and told apart by the colour-blind; marks differ as well.
RUN, COLLAPSED, RECORDED = "#3f87d9", "#d9740f", "#8f8f8f"
REPORTED_COLOURS = {"train": "#a970d6", "test": "#2c9c69"}
INK = "#010203"  # stands for the page's own colour of text
BREAK = 97.0  # percent: above, tenths must be readable; below are collapses and first epochs
# Over Matplotlib's own defaults: what a user's matplotlibrc asks for, as LaTeX, is not heard.
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "lstm_mnist", "font.size": 10}
STYLE |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), INK)
STYLE |= dict.fromkeys(("xtick.color", "ytick.color"), INK)

LEGEND: dict[str, Any] = {"loc": "outside lower center", "ncols": 2, "frameon": False}
MARK: dict[str, Any] = {"markersize": 5, "clip_on": False}

Curves = Sequence[Sequence[float]]


class Limits(NamedTuple):
    """The ends of an axis of accuracies in percent."""

    low: float
    high: float


def curves(name: str, runs: Curves, recorded: Curves, limits: Limits) -> str:
    """Draw test accuracies in percent after each epoch over the recorded ones.

    A panel above that of all accuracies shows those from BREAK up. `name` distinguishes the plot
    from the page's others.
    """
    standing = [curve for curve in runs if not reference.collapsed(curve)]
    collapsed = [curve for curve in runs if reference.collapsed(curve)]
    with style.context(STYLE, after_reset=True):
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for axes in (upper, lower):
            for label, group, colour, marker, width in (
                ("recorded original", recorded, f"{RECORDED}80", "", 0.6),  # faint, because many
                ("run", standing, RUN, "o", 1.2),
                ("run that collapsed", collapsed, COLLAPSED, "X", 1.2),
            ):
                for number, curve in enumerate(group):
                    axes.plot(
                        range(1, len(curve) + 1),
                        curve,
                        color=colour,
                        linewidth=width,
                        marker=marker,
                        markersize=4,
                        markevery=[-1],  # the end of the run
                        label=None if number else f"{label} ({len(group)})",
                    )
            axes.grid(alpha=0.25)
        for split, reported in reference.REPORTED.items():
            upper.axhline(
                reported,
                color=REPORTED_COLOURS[split],
                linestyle="--" if split == "test" else ":",
                label=f"reported {split} {reported} %",
            )
        upper.set_ylim(BREAK, limits.high)
        lower.set(ylim=(limits.low, 100), xlabel="epoch")
        figure.supylabel("test accuracy (%)", size="medium")
        figure.legend(*upper.get_legend_handles_labels(), **LEGEND)
        return _svg(figure, name)


def finals(name: str, groups: Mapping[str, Curves], recorded: Curves, limits: Limits) -> str:
    """Draw each curve's last accuracy in percent, a row for each group and the recorded runs.

    The axis is broken at BREAK. In a row the runs rise in order of their accuracy; a bar marks the
    median.
    """
    rows = [("recorded original", recorded, RECORDED)]
    rows += [(group, members, RUN) for group, members in groups.items()]
    with style.context(STYLE, after_reset=True):
        figure = Figure(figsize=(WIDTH, 1.3 + 0.6 * len(rows)), layout="constrained")
        lower, upper = figure.subplots(1, 2, sharey=True, width_ratios=(2, 3))
        for row, (_, members, colour) in enumerate(rows):
            ordered = sorted(members, key=lambda curve: curve[-1])
            for rank, curve in enumerate(ordered):
                axes = lower if curve[-1] < BREAK else upper
                height = row + 0.6 * (0.5 - (rank + 0.5) / len(ordered))
                if reference.collapsed(curve):
                    axes.plot(curve[-1], height, "X", color=COLLAPSED, **MARK)
                else:
                    axes.plot(curve[-1], height, "o", color=colour, **MARK)
            middle = median(curve[-1] for curve in members)
            axes = lower if middle < BREAK else upper
            axes.vlines(middle, row - 0.4, row + 0.4, color=INK, zorder=1)
        for axes in (lower, upper):
            axes.grid(alpha=0.25, axis="x")
        upper.axvline(
            reference.REPORTED_TEST, color=REPORTED_COLOURS["test"], linestyle="--", zorder=0
        )
        upper.set_xlim(BREAK, limits.high)
        lower.set(xlim=(limits.low, BREAK), ylim=(len(rows) - 0.4, -0.6))
        labels = [f"{textwrap.fill(group, 18)}\n{len(members)}" for group, members, _ in rows]
        lower.set_yticks(range(len(rows)), labels=labels, parse_math=False)
        lower.set_ylabel("variant and number of runs")
        figure.supxlabel("final test accuracy (%)", size="medium")
        return _svg(figure, name)


def digit(name: str, image: NDArray[Any]) -> str:
    """Draw an image [28, 28] in [0, 1]."""
    figure = Figure(figsize=(1, 1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="none")
    axes.set_axis_off()
    with style.context(STYLE, after_reset=True):
        return _svg(figure, name)


def limits_of(curves: Iterable[Sequence[float]]) -> Limits:
    """Return the ends of an axis on which all accuracies fit."""
    values = [value for curve in curves for value in curve]
    return Limits(low=min(*values, BREAK - 2) - 2, high=max(*values, BREAK) + 0.1)


def _svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element that can stand beside others in an HTML page."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Matplotlib gives the same names to parts of different figures.
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
