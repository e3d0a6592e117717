"""What 90 epochs show of the collapse: tables and pictures of `results/collapse/*.json`.

The runs are made by the command that docs/protocol.md names; nothing is trained here.
`results/collapse.csv` is the `dynamics.csv` of one of them.
"""

import csv
import itertools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from benchmarks import record
from benchmarks.verdicts import NOTHING, arithmetic, p_value, share
from lstm_mnist.recording import STEPS
from lstm_mnist.studies import protocol, records, statistics

RUNS = record.FOLDER / "collapse"  # a file for each variant
EPOCHS = (30, 60, 90)
SEEDS = range(10)  # planned of each variant
# Variants by their gates: plain, clipped, and with a decaying learning rate.
ARMS = {
    "hard sigmoid": ("original", "original_clipped", "original_cosine"),
    "sigmoid": ("document", "document_clipped", "stable"),
}
PLAIN = tuple(names[0] for names in ARMS.values())
# The run of which collapse.csv tells every 25 steps, and the epochs around its first two falls.
SHOWN = ("original", 2)
SHOWN_EPOCHS = (1, 10, 20, *range(23, 34), 40, 45, 50, 51, 52, 54, 60, 70, 71, 80, 90)
UNFINISHED = "| not before all planned runs are there |\n|---|\n"

Groups = Mapping[str, list[records.Record]]


def read(folder: Path = RUNS) -> Groups:
    """Return the study's runs by variant, of those variants of which there are runs."""
    return record.studied(folder, itertools.chain(*ARMS.values()))


def complete(groups: Groups, names: Iterable[str]) -> bool:
    """Return whether all runs that the protocol plans of these variants are there, as planned."""
    planned = [(seed, EPOCHS[-1]) for seed in SEEDS]
    found = [groups.get(name, []) for name in names]
    return all(
        sorted((run.config.seed, run.config.epochs) for run in runs) == planned for runs in found
    ) and not any(protocol.departures_of_program([*itertools.chain(*found)]))


def table_of_falls(groups: Groups) -> str:
    """Return how many runs have fallen by some epochs."""
    if not groups:
        return NOTHING
    lines = [
        "| runs | "
        + " | ".join(f"fallen by {epoch} (95 %)" for epoch in EPOCHS)
        + f" | first falls | accuracy % after epoch {EPOCHS[-1]}: median (range) | arithmetic |",
        f"|---|{'--:|' * len(EPOCHS)}---|--:|---|",
    ]
    for name in itertools.chain(*ARMS.values()):
        if not (runs := groups.get(name)):
            continue
        falls = [statistics.first_fall(run.test_curve) for run in runs]
        found = sorted(fall for fall in falls if fall)
        rates = (
            statistics.rate(sum(fall <= epoch for fall in found), len(runs)) for epoch in EPOCHS
        )
        cells = [f"{rate.count} of {rate.total}: {share(rate)}" for rate in rates]
        ends = [run.test_curve[-1] for run in runs]
        lines.append(
            f"| `{name}`, {len(runs)} | {' | '.join(cells)} "
            f"| {', '.join(map(str, found)) or 'none'} "
            f"| {median(ends):.2f} ({min(ends):.2f} to {max(ends):.2f}) | {arithmetic(runs)} |"
        )
    return "\n".join(lines) + "\n"


def pairs() -> list[tuple[str, ...]]:
    """Return the pairs of variants that the protocol compares."""
    changed = [(names[0], other) for names in ARMS.values() for other in names[1:]]
    return [PLAIN, *changed]


def table_of_tests(groups: Groups) -> str:
    """Return tests of which of gates, clipping and rate matter for the time to the first fall."""
    if not complete(groups, itertools.chain(*ARMS.values())):
        return UNFINISHED
    found = {}
    for pair in pairs():
        sides = (statistics.measures([run.test_curve for run in groups[name]]) for name in pair)
        found[pair] = statistics.compare(*sides, resamples=0)
    p = {"/".join(pair): each.p["first fall"] for pair, each in found.items()}
    corrected = statistics.holm(p)
    lines = [
        "| pair | fell | difference of the shares, points (95 %) | p (log-rank) | p by Holm |",
        "|---|--:|--:|--:|--:|",
    ]
    for pair, each in found.items():
        fell = (statistics.fallen([run.test_curve for run in groups[name]]) for name in pair)
        counts = ", ".join(f"{rate.count} of {rate.total}" for rate in fell)
        low, high = each.falls_interval
        lines.append(
            f"| `{pair[0]}`, `{pair[1]}` | {counts} | {100 * each.falls:+.0f} "
            f"({100 * low:+.0f} to {100 * high:+.0f}) | {p_value(each.p['first fall'])} "
            f"| {p_value(corrected['/'.join(pair)])} |"
        )
    return "\n".join(lines) + "\n"


class Announcement(NamedTuple):
    """A fall of a plain run, and gains after the epoch before it."""

    variant: str
    seed: int
    fall: int
    own: float
    standing: float  # median of the plain runs that have not fallen by the epoch of the fall
    alike: float | None  # median of those with the same gates, if there are any


def announcements(groups: Groups) -> list[Announcement]:
    """Return the falls of plain runs at which others stand and the gains are finite."""
    plain = [run for name in PLAIN for run in groups[name]]
    falls = [(run, statistics.first_fall(run.test_curve)) for run in plain if run.dynamics]
    found = []
    for run, fall in falls:
        if fall is None:
            continue
        own, variant = _gain(run, fall - 1), run.config.variant
        gains = [
            (other.config.variant, gain)
            for other, fell in falls
            if (fell is None or fell > fall) and (gain := _gain(other, fall - 1)) is not None
        ]
        standing = [gain for _, gain in gains]
        alike = [gain for name, gain in gains if name == variant]
        if own is not None and standing:
            among = median(alike) if alike else None
            seed = run.config.seed
            found.append(Announcement(variant, seed, fall, own, median(standing), among))
    return found


def _gain(run: records.Record, epoch: int) -> float | None:
    assert run.dynamics
    return run.dynamics[epoch - 1].gain if 1 <= epoch <= len(run.dynamics) else None


def table_of_announcements(groups: Groups) -> str:
    """Return whether the gain of a run is larger before it falls than that of the others."""
    if not complete(groups, PLAIN):
        return UNFINISHED
    found = announcements(groups)
    lines = [
        "| run | fell in epoch | gain before | median of those standing | of the same gates |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| `{each.variant}`, seed {each.seed} | {each.fall} | {each.own:.2f} "
        f"| {each.standing:.2f} | {'' if each.alike is None else f'{each.alike:.2f}'} |"
        for each in found
    ]
    if found:
        pooled = _sign_test((each.own, each.standing) for each in found)
        alike = _sign_test((each.own, each.alike) for each in found if each.alike is not None)
        lines.append(f"| sign test, larger | | | {pooled} | {alike} |")
    return "\n".join(lines) + "\n"


def _sign_test(pairs: Iterable[tuple[float, float]]) -> str:
    """Return in how many pairs the first is larger, and the one-sided p-value."""
    larger = [one > other for one, other in pairs]
    if not larger:
        return ""
    p = stats.binomtest(sum(larger), len(larger), alternative="greater").pvalue
    return f"{sum(larger)} of {len(larger)}, p {p_value(p)}"


def steps(path: Path = record.FOLDER / "collapse.csv") -> list[dict[str, float]]:
    """Return the rows of the shown run's `dynamics.csv`."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def table_of_run(groups: Groups, steps: Sequence[Mapping[str, float]]) -> str:
    """Return how gradient, states and gain of the shown run develop."""
    variant, seed = SHOWN
    run = next((run for run in groups.get(variant, ()) if run.config.seed == seed), None)
    if run is None or not run.dynamics:
        return NOTHING
    lines = [
        "| epoch | test accuracy % | gradient norm: median | largest "
        "| mean size of c: median | largest c | gain | saturated |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for epoch in SHOWN_EPOCHS:
        within = [step for step in steps if epoch - 1 < step["step"] / STEPS <= epoch]
        norms = [step["gradient_norm"] for step in within]
        after = run.dynamics[epoch - 1]
        lines.append(
            f"| {epoch} | {run.test_curve[epoch - 1]:.2f} | {median(norms):.2f} | {max(norms):.2f} "
            f"| {median(step['cell_mean'] for step in within):.2f} "
            f"| {max(step['cell_max'] for step in within):.1f} "
            f"| {after.gain:.2f} | {after.saturated:.2f} |"
        )
    return "\n".join(lines) + "\n"


def draw_run(steps: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw loss, gradient norm and cell state size of the shown run."""
    epochs = [step["step"] / STEPS for step in steps]
    figure = Figure(figsize=(9, 7), layout="constrained")
    panels = figure.subplots(3, sharex=True)
    quantities = {
        "loss (nats)": ["loss"],
        "gradient norm": ["gradient_norm"],
        "cell state |c|": ["cell_max", "cell_mean"],
    }
    for panel, (label, columns) in zip(panels, quantities.items(), strict=True):
        for column in columns:
            values = [step[column] for step in steps]
            panel.plot(epochs, values, linewidth=0.8, label=column.rpartition("_")[2])
        panel.set(yscale="log", ylabel=label)
        panel.grid(alpha=0.3)
    panels[-1].legend()
    panels[-1].set_xlabel("epoch")
    record.save(figure, path)


def draw(groups: Groups, path: Path) -> None:
    """Draw the shares of runs that have not fallen, with intervals, and the gains, by gates."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey="row")
    for column, (gates, names) in enumerate(ARMS.items()):
        for number, name in enumerate(names):
            runs = groups.get(name, ())
            if runs:
                _survival(panels[0, column], runs, name, f"C{number}")
                for run in runs:
                    _gains(panels[1, column], run, f"C{number}")
        panels[0, column].set(title=gates, ylim=(-0.02, 1.02))
        if any(name in groups for name in names):
            # Where there is room: the curves above cross their whole panel.
            lines = panels[0, column].get_legend_handles_labels()
            panels[1, column].legend(*lines, loc="upper left")
        panels[1, column].set(yscale="log", xlabel="epoch")
        panels[1, column].axhline(1, color="black", linewidth=0.5)
        for panel in panels[:, column]:
            panel.grid(alpha=0.3)
    panels[0, 0].set_ylabel("share that has not fallen")
    panels[1, 0].set_ylabel("gain over rows 9 to 28")
    record.save(figure, path)


def _gains(panel: Axes, run: records.Record, colour: str) -> None:
    """Draw a run's gains, with a dot after the epoch before its first fall."""
    gains = np.array([point.gain for point in run.dynamics or ()], np.float64)  # None is NaN
    panel.plot(np.arange(1, len(gains) + 1), gains, color=colour, linewidth=0.6)
    fall = statistics.first_fall(run.test_curve)
    if fall and (before := _gain(run, fall - 1)) is not None:
        panel.plot(fall - 1, before, ".", color=colour)


def _survival(panel: Axes, runs: Sequence[records.Record], name: str, colour: str) -> None:
    """Draw a Kaplan-Meier curve with its interval (log-log)."""
    falls = statistics.measures([run.test_curve for run in runs]).falls
    survival = stats.ecdf(falls).sf
    _stairs(panel, survival, color=colour, label=f"{name} ({len(runs)})")
    if falls.num_censored() < len(runs):  # else it is not defined
        with warnings.catch_warnings():
            # It has no width where no run or every run has fallen.
            warnings.simplefilter("ignore", RuntimeWarning)
            interval = survival.confidence_interval(method="log-log")
        for end in (interval.low, interval.high):
            _stairs(panel, end, color=colour, linestyle=":", linewidth=0.8)


def _stairs(panel: Axes, shares: Any, **style: Any) -> None:
    """Draw one of SciPy's distribution functions from the first to the last epoch."""
    epochs, values = [0, *shares.quantiles, EPOCHS[-1]], [1, *shares.probabilities]
    panel.step(epochs, [*values, values[-1]], where="post", **style)
