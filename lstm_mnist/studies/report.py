"""A report of runs as one HTML page that needs nothing beside it: pure functions of values."""

import datetime
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from lstm_mnist.config import TOTALS
from lstm_mnist.studies import plots, records, reference, summary

if TYPE_CHECKING:
    from lstm_mnist.studies.mistakes import Mistakes

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("lstm_mnist"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    title: str,
    groups: Mapping[str, Sequence[records.Record]],
    mistakes: "Mistakes | str",
    written: datetime.datetime,
) -> str:
    """Return the page about groups of runs, by variant.

    `mistakes` are those of the best run's model on the test images, or the sentence that says why
    there are none.
    """
    recorded = reference.recorded_test_curves()
    curves = {name: [run.test_curve for run in group] for name, group in groups.items()}
    runs = [*itertools.chain(*groups.values())]
    summaries = {name: summary.summarise(name, group) for name, group in groups.items()}
    return _TEMPLATES.get_template("report.html").render(
        title=title,
        written=written,
        reference=reference,
        broken_at=plots.BREAK,
        totals=TOTALS,
        groups=groups,
        summaries=summaries,
        all_summaries=[summary.summarise_recorded(), *summaries.values()],
        differing=differing_settings(groups),
        recorded=recorded,
        curves=_curve_plots(curves, recorded),
        finals=_finals_plot(curves, recorded),
        best=records.best(runs),
        mistakes=mistakes,
        digits=[]
        if isinstance(mistakes, str)
        else [
            (mistake, Markup(plots.digit(f"digit{number}", mistake.image)))
            for number, mistake in enumerate(mistakes.most_confident)
        ],
        settings=facts(map(_settings, runs)),
        environment=facts(map(_environment, runs)),
    )


def differing_settings(
    groups: Mapping[str, Sequence[records.Record]],
) -> dict[str, dict[str, Any]]:
    """Return each group's settings in which the groups differ, but for the variant's name."""
    configs = {name: _settings(runs[0]) for name, runs in groups.items()}
    differing = [key for key, values in facts(configs.values()).items() if len(values) > 1]
    return {
        name: {key: settings[key] for key in differing if key != "variant"}
        for name, settings in configs.items()
    }


def facts(mappings: Iterable[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    """Return each key's values, as text, with the number of mappings that have them."""
    counters: dict[str, Counter[str]] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            counters.setdefault(key, Counter())[str(value)] += 1
    return counters


def _settings(run: records.Record) -> dict[str, Any]:
    return {key: value for key, value in run.config.as_dict().items() if key != "seed"}


def _environment(run: records.Record) -> dict[str, str]:
    git = run.git or {"commit": "unknown", "changed": False}
    device = run.device
    return {
        **run.versions,
        "device": f"{device['kind']}: {device['name']}, {device['cores']} cores",
        "git commit": git["commit"] + (", with changes" if git["changed"] else ""),
        **{f"SHA-256 of {split} data": digest for split, digest in run.data_sha256.items()},
    }


def _curve_plots(groups: Mapping[str, plots.Curves], recorded: plots.Curves) -> dict[str, Markup]:
    """Draw one plot for each group, all with the same axes."""
    limits = plots.limits_of(itertools.chain(recorded, *groups.values()))
    return {
        name: Markup(plots.curves(f"curves{number}", curves, recorded, limits))
        for number, (name, curves) in enumerate(groups.items())
    }


def _finals_plot(groups: Mapping[str, plots.Curves], recorded: plots.Curves) -> Markup:
    finals = [curve[-1:] for curve in itertools.chain(recorded, *groups.values())]
    limits = plots.limits_of([*finals, [reference.REPORTED_TEST]])
    return Markup(plots.finals("finals", groups, recorded, limits))
