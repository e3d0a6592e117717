"""Render the committed studies into the READMEs and their pictures: `python -m benchmarks.study`.

`lstm_mnist/results/*.json` are what `compare --save` wrote, `results/*.json` what the modules of
these names did (`results/comparison.json`: `python -m benchmarks`), and `results/collapse.csv` is
the `dynamics.csv` of one run of `original`; nothing is measured here.
"""

import csv
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import __main__ as libraries
from benchmarks import blanks, context, networks, record, step, sweep, time_to_accuracy
from lstm_mnist import config
from lstm_mnist.studies import plots, records, reference, summary
from lstm_mnist.system import files

READMES = tuple(Path(__file__).parents[1] / name for name in ("README.md", "README.zh.md"))
BEGIN = "<!-- Rendered by `python -m benchmarks.study`: {}. -->\n"
END = "<!-- End of what is rendered. -->\n"
STEPS_PER_EPOCH = 550

Groups = dict[str, list[records.Record]]


def main() -> None:
    """Write the READMEs' tables and the pictures anew."""
    groups = committed()
    for readme in READMES:
        text = rendered(readme.read_text(encoding="utf-8"), tables(groups))
        files.write_text(readme, text)
    finals = {
        name: [run.test_curve for run in runs]
        for name, runs in groups.items()
        if name in config.VARIANTS
    }
    recorded = reference.recorded_test_curves()
    ends = [curve[-1:] for curve in itertools.chain(recorded, *finals.values())]
    svg = plots.finals("finals", finals, recorded, plots.limits_of(ends))
    # Outside a page the picture has no colour of text to take.
    framed = svg.replace("<svg ", '<svg style="background: white; color: black" ', 1)
    files.write_text(record.FOLDER / "finals.svg", framed)
    for module in (blanks, context):
        runs = records.read([sweep.path_of(module.NAME)])
        module.draw(runs, record.FOLDER / f"{module.NAME}.svg")
    draw_collapse(record.FOLDER / "collapse.csv", record.FOLDER / "collapse.svg")


def committed() -> Groups:
    """Return the committed runs by label, in the order of `config`'s networks and variants."""
    labels = (
        records.label(variant, network)
        for network in config.NETWORKS
        for variant in config.VARIANTS
    )
    files = (records.COMMITTED / f"{label}.json" for label in labels)
    return records.pooled(records.read(file for file in files if file.exists()))


def rendered(readme: str, tables: Mapping[str, str]) -> str:
    """Return a README with tables in their places."""
    for name, table in tables.items():
        begin = BEGIN.format(name)
        before, rest = readme.split(begin)
        _, after = rest.split(END, maxsplit=1)
        readme = f"{before}{begin}{table}{END}{after}"
    return readme


def tables(groups: Groups) -> dict[str, str]:
    """Return the READMEs' tables by name, in Markdown."""
    return {
        "variants": table_of_variants(groups),
        "networks": table_of_networks(groups),
        "blanks": blanks.table(records.read([sweep.path_of(blanks.NAME)])),
        "time_to_accuracy": time_to_accuracy.table(
            time_to_accuracy.outcomes_of(_read(time_to_accuracy.PATH)["runs"])
        ),
        "comparison": libraries.table(libraries.from_dict(_read(libraries.PATH))),
        "step": step.table(_read(step.PATH)["milliseconds"]),
    }


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def table_of_variants(groups: Groups) -> str:
    """Return the table of the script's network."""
    recorded = summary.summarise_recorded()
    lines = [
        "| runs | final: mean | sd | median | min | max | highest | collapsed (95 %) | verdict "
        "| arithmetic |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|---|",
        _row(f"recorded original, {recorded.count}", recorded, "TensorFlow 1.15.5"),
    ]
    for name in config.VARIANTS:
        if not (runs := groups.get(name)):
            continue
        group = summary.summarise(name, runs)
        lines.append(_row(f"`{name}`, {group.count}", group, _arithmetic(runs)))
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
            _arithmetic(both),
            f"{facts['epoch_seconds']:.1f}",
        ]
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines) + "\n"


def _arithmetic(runs: list[records.Record]) -> str:
    """Return what decided the bits of runs, in Markdown."""
    return ", ".join(f"`{name}`" for name in sorted({run.arithmetic for run in runs}))


def _row(label: str, group: summary.Summary, arithmetic: str) -> str:
    finals, highest = group.accuracies["final"], group.accuracies["highest on test"]
    low, high = group.collapses.interval
    verdict = group.verdict.word if group.verdict else ""
    return (
        f"| {label} | {finals.mean:.2f} | {finals.sd:.2f} | {finals.median:.2f} "
        f"| {finals.minimum:.2f} | {finals.maximum:.2f} "
        f"| {highest.minimum:.2f} to {highest.maximum:.2f} "
        f"| {group.collapses.count} ({low:.0%} to {high:.0%}) | {verdict} | {arithmetic} |"
    )


def draw_collapse(source: Path, path: Path) -> None:
    """Draw loss, gradient norm and cell state size over one run."""
    from matplotlib.figure import Figure

    with source.open(newline="", encoding="utf-8") as file:
        points = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    epochs = [point["step"] / STEPS_PER_EPOCH for point in points]
    figure = Figure(figsize=(9, 7), layout="constrained")
    panels = figure.subplots(3, sharex=True)
    quantities = {
        "loss (nats)": ["loss"],
        "gradient norm": ["gradient_norm"],
        "cell state |c|": ["cell_max", "cell_mean"],
    }
    for panel, (label, columns) in zip(panels, quantities.items(), strict=True):
        for column in columns:
            values = [point[column] for point in points]
            panel.plot(epochs, values, linewidth=0.8, label=column.rpartition("_")[2])
        panel.set(yscale="log", ylabel=label)
        panel.grid(alpha=0.3)
    panels[-1].legend()
    panels[-1].set_xlabel("epoch")
    record.save(figure, path)


if __name__ == "__main__":
    main()
