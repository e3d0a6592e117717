"""Render the committed studies into the pages and their pictures: `python -m benchmarks.study`.

`lstm_mnist/results/*.json` are what `compare --save` wrote, `results/*.json` what the modules of
these names did (`results/comparison.json`: `python -m benchmarks`); nothing is measured here.
"""

import itertools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import __main__ as libraries
from benchmarks import (
    blanks,
    characteristics,
    collapse,
    context,
    gate_characteristics,
    gate_epochs,
    gates,
    networks,
    record,
    step,
    sweep,
    time_to_accuracy,
    verdicts,
)
from benchmarks import chinese as words
from lstm_mnist import config
from lstm_mnist.studies import plots, protocol, records, reference, report, summary, text
from lstm_mnist.system import files

ROOT = Path(__file__).parents[1]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
RENDERED = re.compile(
    r"(<!-- Rendered by `python -m benchmarks\.study`: (\w+)\. -->\n)"
    r".*?"
    r"(<!-- End of what is rendered\. -->\n)",
    re.DOTALL,
)
SUMMARISED = ("original", "document", "stable")  # in the README
# Flags of the main command, and which run of the study it trains again, bit for bit.
SINGLE = {
    "": ("document", 0),
    "--seed=1": ("document", 1),
    "--seed=2": ("document", 2),
    "--variant=original": ("original", 0),
    "--variant=prose": ("prose", 0),
}

Groups = dict[str, list[records.Record]]
Tables = Mapping[str, Callable[[], str]]


def main() -> None:
    """Write the pages' tables and the pictures anew."""
    groups = committed()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (anew := rendered(text, tables(groups, chinese=is_chinese(page)))) != text:
            files.write_text(page, anew)
    draw(groups, record.FOLDER)


def draw(groups: Groups, folder: Path) -> None:
    """Write the pictures of the studies into a folder."""
    finals = {
        name: [run.test_curve for run in runs]
        for name, runs in groups.items()
        if name in config.VARIANTS
    }
    recorded = reference.recorded_curves("test")
    ends = [curve[-1:] for curve in itertools.chain(recorded, *finals.values())]
    svg = plots.finals("finals", finals, recorded, plots.limits_of(ends))
    # Outside a page there is no text colour for the picture to take.
    framed = svg.replace("<svg ", '<svg style="background: white; color: black" ', 1)
    files.write_text(folder / "finals.svg", framed)
    for module in (blanks, context):
        runs = records.read([sweep.path_of(module.NAME)])
        module.draw(runs, folder / f"{module.NAME}.svg")
    collapse.draw_run(collapse.steps(), folder / "collapse.svg")
    if runs_to_90 := collapse.read():
        collapse.draw(runs_to_90, folder / "falls.svg")


def committed() -> Groups:
    """Return the committed runs by label, in the order of `config`'s networks and variants."""
    labels = (
        records.label(variant, network)
        for network in config.NETWORKS
        for variant in config.VARIANTS
    )
    return record.studied(records.COMMITTED, labels)


def is_chinese(page: Path) -> bool:
    """Return whether a page is one of those in Chinese."""
    return page.name == "README.zh.md" or page.parent.name == "zh"


def rendered(page: str, tables: Tables) -> str:
    """Return a page with tables in the places marked for them."""
    return RENDERED.sub(lambda place: f"{place[1]}{tables[place[2]]()}{place[3]}", page)


def tables(groups: Groups, *, chinese: bool) -> Tables:
    """Return by name the functions that make the pages' tables, in Markdown."""
    made = {
        "summary": lambda: table_of_summary(groups),
        "single": lambda: table_of_single_runs(groups),
        "variants": lambda: table_of_variants(groups),
        "verdicts": lambda: verdicts.table_of_verdicts(
            groups, report.translation("zh" if chinese else "en")
        ),
        "changes": lambda: verdicts.table_of_changes(groups),
        "pair": lambda: verdicts.table_of_pair(groups),
        "characteristics": lambda: characteristics.table(characteristics.read()),
        "falls": lambda: falls(collapse.read(), chinese=chinese),
        "fall_tests": lambda: collapse.table_of_tests(collapse.read()),
        "run": lambda: collapse.table_of_run(collapse.read(), collapse.steps()),
        "gains": lambda: collapse.table_of_announcements(collapse.read()),
        "compare": lambda: printed(groups["original"]),
        "networks": lambda: table_of_networks(groups),
        "blanks": lambda: blanks.table(records.read([sweep.path_of(blanks.NAME)])),
        "time_to_accuracy": lambda: time_to_accuracy.table(
            time_to_accuracy.outcomes_of(_read(time_to_accuracy.PATH)["runs"])
        ),
        "comparison": lambda: libraries.table(libraries.from_dict(_read(libraries.PATH))),
        "gate_characteristics": lambda: gate_characteristics.table(
            _read(gate_characteristics.PATH)["rows"]
        ),
        "gate_epochs": lambda: gate_epochs.table(gate_epochs.committed()),
        "gates": lambda: gates.table_of_unchanged(_read(gates.PATH)["gates"]),
        "sabotage": lambda: gates.table(_read(gates.PATH)["gates"]),
        "step": lambda: step.table(_read(step.PATH)["milliseconds"]),
    }
    if not chinese:
        return made
    return {name: _in_chinese(make) for name, make in made.items()}


def _in_chinese(make: Callable[[], str]) -> Callable[[], str]:
    return lambda: words.table(make())


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def table_of_summary(groups: Groups) -> str:
    """Return the table of the README: what came out."""
    recorded = summary.summarise_recorded()
    label = f"recorded original, {recorded.count}"
    rows, arithmetic = {label: recorded}, {label: "TensorFlow 1.15.5"}
    for name in SUMMARISED:
        group = summary.summarise(name, groups[name])
        rows[f"`{name}`, {group.count}"] = group
        arithmetic[f"`{name}`, {group.count}"] = verdicts.arithmetic(groups[name])
    lines = [
        "| runs | at the end: median (range) | highest on the way "
        f"| end at {reference.REPORTED_TEST} or above | collapsed | arithmetic |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for label, group in rows.items():
        finals, highest = group.accuracies["final"], group.accuracies["highest on test"]
        lines.append(
            f"| {label} | {finals.median:.2f} ({finals.minimum:.2f} to {finals.maximum:.2f}) "
            f"| {highest.minimum:.2f} to {highest.maximum:.2f} "
            f"| {group.reached['test'].count} of {group.count} "
            f"| {group.collapses.count} of {group.count} | {arithmetic[label]} |"
        )
    return "\n".join(lines) + "\n"


def table_of_single_runs(groups: Groups) -> str:
    """Return the table of single runs, with the command that trains each."""
    reported = f"{reference.REPORTED_TRAIN} | {reference.REPORTED_TEST}"
    lines = [
        "| command | final epoch: train % | test % | best epoch | train % | test % |",
        "|---|--:|--:|--:|--:|--:|",
        f"| reported by the document | {reported} | | | |",
    ]
    for flags, (variant, seed) in SINGLE.items():
        (run,) = (run for run in groups[variant] if run.config.seed == seed)
        command = f"make run ARGS={flags}" if flags else "make run"
        final, best = (
            f"{epoch.train.percent:.2f} | {epoch.test.percent:.2f}"
            for epoch in (run.final, run.best)
        )
        lines.append(f"| `{command}` | {final} | {run.best.number} | {best} |")
    return "\n".join(lines) + "\n"


def table_of_variants(groups: Groups) -> str:
    """Return the table of the script's network."""
    recorded = summary.summarise_recorded()
    lines = [
        "| runs | mean of epochs {} to {}: mean | sd | final: mean | sd | median | min | max "
        "| fell (95 %) | collapsed | diverged | arithmetic |".format(*protocol.EARLY),
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
        _row(f"recorded original, {recorded.count}", recorded, "TensorFlow 1.15.5"),
    ]
    for name in config.VARIANTS:
        if not (runs := groups.get(name)):
            continue
        group = summary.summarise(name, runs)
        lines.append(_row(f"`{name}`, {group.count}", group, verdicts.arithmetic(runs)))
    return "\n".join(lines) + "\n"


def table_of_networks(groups: Groups) -> str:
    """Return the table of all networks, by two recipes."""
    measured = _read(networks.PATH)["networks"]
    lines = [
        "| network | parameters | `stable`: mean | sd | `original`: mean | sd | collapsed "
        "| arithmetic | seconds per epoch |",
        "|---|--:|--:|--:|--:|--:|--:|---|--:|",
    ]
    for network, facts in measured.items():
        columns = [f"`{network}`", f"{facts['parameters']:,}"]
        both: list[records.Record] = []
        for variant in ("stable", "original"):
            runs = groups[records.label(variant, network)]
            group = summary.summarise(variant, runs)
            finals = group.accuracies["final"]
            columns += [f"{finals.mean:.2f}", f"{finals.sd:.2f}"]
            both += runs
        columns += [
            f"{group.collapses.count} of {group.count}",
            verdicts.arithmetic(both),
            f"{facts['epoch_seconds']:.1f}",
        ]
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines) + "\n"


def _row(label: str, group: summary.Summary, arithmetic: str) -> str:
    finals = group.accuracies["final"]
    early = group.accuracies["mean of epochs {} to {}".format(*protocol.EARLY)]
    return (
        f"| {label} | {early.mean:.2f} | {early.sd:.3f} | {finals.mean:.2f} | {finals.sd:.2f} "
        f"| {finals.median:.2f} | {finals.minimum:.2f} | {finals.maximum:.2f} "
        f"| {group.falls.count}: {verdicts.share(group.falls)} | {group.collapses.count} "
        f"| {group.diverged} | {arithmetic} |"
    )


def falls(groups: collapse.Groups, *, chinese: bool) -> str:
    """Return how many runs have fallen, and the picture of when, once there are any."""
    table = collapse.table_of_falls(groups)
    if not groups:
        return table
    says = "尚未跌落的比例和增益" if chinese else "Shares of runs that have not fallen, and gains"
    return f"{table}\n![{says}](../{'../' * chinese}benchmarks/results/falls.svg)\n"


def printed(runs: list[records.Record]) -> str:
    """Return what `compare` prints about runs, as a code block."""
    (name,) = {run.label for run in runs}
    return f"```\n{text.describe(summary.summarise(name, runs), runs)}\n```\n"


if __name__ == "__main__":
    main()
