"""Tables of the measures: against the recorded runs, against `original`, and the reported pair."""

import math
from collections.abc import Iterator, Mapping, Sequence

from lstm_mnist import config
from lstm_mnist.studies import protocol, records, reference, statistics, summary, text

Groups = Mapping[str, Sequence[records.Record]]

NOTHING = "| no runs yet |\n|---|\n"
MEASURES = (
    "| {runs} | mean of epochs {first} to {last}, points (95 %) | p "
    "| share that falls, points (95 %) | p | ends above (95 %) | p |"
)


def table_of_verdicts(groups: Groups, _: text.Translate = text.english) -> str:
    """Return how each variant's runs compare with the recorded ones, and the verdict."""
    lines = [f"{_head('runs minus recorded')} verdict | departs from the plan |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|---|---|")
    for label, runs in _variants(groups):
        verdict = summary.judge(runs)
        if not verdict.comparison:
            continue
        departures = _("; ").join(_(each).format(**values) for each, values in verdict.departures)
        lines.append(f"{_row(label, verdict.comparison)} {verdict.word or 'none'} | {departures} |")
    return "\n".join(lines) + "\n"


def table_of_changes(groups: Groups) -> str:
    """Return what each single change alters, compared with the runs of `original`."""
    original = config.variant("original")
    rows = []
    for label, runs in _variants(groups):
        changes = original.differences(config.variant(runs[0].config.variant))
        same = [run.arithmetic for run in runs] == [runs[0].arithmetic] * len(runs)
        if len(changes) == 1 and same and runs[0].arithmetic == groups["original"][0].arithmetic:
            rows.append(_row(label, summary.changed(runs, groups["original"])))
    if not rows:
        return NOTHING
    return "\n".join([_head("change minus `original`"), "|---|--:|--:|--:|--:|--:|--:|", *rows, ""])


def table_of_pair(groups: Groups) -> str:
    """Return how often runs end at the reported accuracies."""
    low, high = ([*summary.reported_interval(split)] for split in reference.REPORTED)
    lines = [
        "| runs | train from {:.2f} to {:.2f} and test from {:.2f} to {:.2f} | share (95 %) "
        "| after some epoch | train at {} or above | test at {} or above | both |".format(
            *low, *high, *reference.REPORTED.values()
        ),
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    recorded = summary.summarise_recorded()
    curves = [*zip(*map(reference.recorded_curves, reference.REPORTED), strict=True)]
    rows = {f"recorded original, {recorded.count}": (recorded, curves)}
    for label, runs in _variants(groups):
        curves = [(run.curve("train"), run.test_curve) for run in runs]
        rows[label] = (summary.summarise(label, runs), curves)
    for label, (group, curves) in rows.items():
        both = sum(
            train[-1] >= reference.REPORTED_TRAIN and test[-1] >= reference.REPORTED_TEST
            for train, test in curves
        )
        passing = sum(any(map(summary.near, train, test)) for train, test in curves)
        counts = (passing, group.reached["train"].count, group.reached["test"].count, both)
        lines.append(
            f"| {label} | {group.near.count} of {group.count} | {share(group.near)} | "
            + " | ".join(f"{count} of {group.count}" for count in counts)
            + " |"
        )
    return "\n".join(lines) + "\n"


def _variants(groups: Groups) -> Iterator[tuple[str, Sequence[records.Record]]]:
    for name in config.VARIANTS:
        if runs := groups.get(name):
            yield f"`{name}`, {len(runs)}", runs


def _head(runs: str) -> str:
    first, last = protocol.EARLY
    return MEASURES.format(runs=runs, first=first, last=last)


def _row(label: str, compared: statistics.Comparison) -> str:
    corrected = [compared.corrected[name] for name in statistics.MEASURES]
    values = (
        "{:+.2f} ({:+.2f} to {:+.2f})".format(compared.difference, *compared.difference_interval),
        "{:+.0f} ({:+.0f} to {:+.0f})".format(
            *(100 * value for value in (compared.falls, *compared.falls_interval))
        ),
        "{:.0f} % ({:.0f} to {:.0f})".format(
            *(100 * value for value in (compared.above, *compared.above_interval))
        ),
    )
    cells = (f"{value} | {p_value(p)}" for value, p in zip(values, corrected, strict=True))
    return f"| {label} | {' | '.join(cells)} |"


def p_value(p: float) -> str:
    """Return a p-value with two digits."""
    return "" if math.isnan(p) else "below 1e-4" if p < 1e-4 else f"{p:.2g}"


def arithmetic(runs: Sequence[records.Record]) -> str:
    """Return what decided the bits of runs, in Markdown."""
    return ", ".join(f"`{name}`" for name in sorted({run.arithmetic for run in runs}))


def share(rate: statistics.Rate) -> str:
    """Return a rate in percent, with its interval."""
    low, high = rate.interval
    return f"{100 * rate.fraction:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
