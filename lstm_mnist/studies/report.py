"""A report of runs as one HTML page that needs nothing beside it: pure functions of values."""

import dataclasses
import datetime
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from lstm_mnist.config import TOTALS
from lstm_mnist.studies import plots, records, reference, statistics

if TYPE_CHECKING:
    from lstm_mnist.studies.mistakes import Mistakes

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("lstm_mnist"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is said about one group of runs; accuracies are of the test images, in percent."""

    name: str
    settings: Mapping[str, Any]  # those in which the groups differ
    accuracies: Mapping[str, statistics.Summary]  # by the epoch they are of
    collapses: statistics.Rate


def page(
    title: str,
    groups: Mapping[str, Sequence[records.Run]],
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
    return _TEMPLATES.get_template("report.html").render(
        title=title,
        written=written,
        reference=reference,
        broken_at=plots.BREAK,
        totals=TOTALS,
        groups=groups,
        verdicts={name: statistics.judge(group, recorded) for name, group in curves.items()},
        reached={name: reached(group) for name, group in groups.items()},
        recipes=[_recorded_recipe(recorded), *recipes(groups)],
        recorded=recorded,
        curves=_curve_pictures(curves, recorded),
        finals=_finals_picture(curves, recorded),
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


def reached(runs: Sequence[records.Run]) -> dict[str, int]:
    """Return, by split, how many runs end at the reported accuracy or above."""
    return {
        split: sum(run.final.percent(split) >= reported for run in runs)
        for split, reported in reference.REPORTED.items()
    }


def recipes(groups: Mapping[str, Sequence[records.Run]]) -> list[Recipe]:
    """Summarise groups of runs."""
    configs = {name: _settings(runs[0]) for name, runs in groups.items()}
    differing = [key for key, values in facts(configs.values()).items() if len(values) > 1]
    return [
        Recipe(
            name=name,
            settings={key: configs[name].get(key) for key in differing if key != "variant"},
            accuracies={
                "final": statistics.summarise([run.final.percent("test") for run in runs]),
                "best on held out": statistics.summarise(
                    [run.best.percent("test") for run in runs]
                ),
                "highest on test": statistics.summarise([max(run.test_curve) for run in runs]),
            },
            collapses=statistics.rate(sum(run.collapsed for run in runs), len(runs)),
        )
        for name, runs in groups.items()
    ]


def _recorded_recipe(curves: plots.Curves) -> Recipe:
    """Summarise the recorded runs, for which no images were held out."""
    return Recipe(
        name="recorded original",
        settings={},
        accuracies={
            "final": statistics.summarise([curve[-1] for curve in curves]),
            "highest on test": statistics.summarise([max(curve) for curve in curves]),
        },
        collapses=statistics.rate(sum(map(reference.collapsed, curves)), len(curves)),
    )


def facts(mappings: Iterable[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    """Return each key's values, as text, with the number of mappings that have them."""
    counters: dict[str, Counter[str]] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            counters.setdefault(key, Counter())[str(value)] += 1
    return counters


def _settings(run: records.Run) -> dict[str, Any]:
    return {key: value for key, value in run.config.items() if key != "seed"}


def _environment(run: records.Run) -> dict[str, str]:
    git = run.git or {"commit": "unknown", "changed": False}
    device = run.device
    return {
        **run.versions,
        "device": f"{device['kind']}: {device['name']}, {device['cores']} cores",
        "git commit": git["commit"] + (", with changes" if git["changed"] else ""),
        **{f"SHA-256 of {split} data": digest for split, digest in run.data_sha256.items()},
    }


def _curve_pictures(
    groups: Mapping[str, plots.Curves], recorded: plots.Curves
) -> dict[str, Markup]:
    """Draw one picture for each group, all with the same axes."""
    limits = plots.limits_of(itertools.chain(recorded, *groups.values()))
    return {
        name: Markup(plots.curves(f"curves{number}", curves, recorded, limits))
        for number, (name, curves) in enumerate(groups.items())
    }


def _finals_picture(groups: Mapping[str, plots.Curves], recorded: plots.Curves) -> Markup:
    finals = [curve[-1:] for curve in itertools.chain(recorded, *groups.values())]
    limits = plots.limits_of([*finals, [reference.REPORTED_TEST]])
    return Markup(plots.finals("finals", groups, recorded, limits))
