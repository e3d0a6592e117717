"""A report of runs as a self-contained HTML page: pure functions of values.

There is one template, whose sentences are translated by `templates/report.zh.json`.
"""

import datetime
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from lstm_mnist.config import TOTALS
from lstm_mnist.runs import run_folder
from lstm_mnist.studies import plots, protocol, records, reference, statistics, summary, text

if TYPE_CHECKING:
    from lstm_mnist.studies.mistakes import Mistakes

CHINESE = Path(__file__).parents[1] / "templates" / "report.zh.json"
_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("lstm_mnist"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def pages(
    path: Path,
    groups: Mapping[str, Sequence[records.Record]],
    mistakes: "Mistakes | None",
    written: datetime.datetime,
) -> dict[Path, str]:
    """Return the page about groups of runs, by variant, in each language, by its path.

    `mistakes` are those of the best run's model on the test images, None without that model.
    """
    recorded = reference.recorded_curves("test")
    curves = {name: [run.test_curve for run in group] for name, group in groups.items()}
    runs = [*itertools.chain(*groups.values())]
    summaries = {name: summary.summarise(name, group) for name, group in groups.items()}
    values = {
        "written": written,
        "protocol": protocol,
        "reference": reference,
        "broken_at": plots.BREAK,
        "first_fall": statistics.first_fall,
        "totals": TOTALS,
        "groups": groups,
        "summaries": summaries,
        "all_summaries": [summary.summarise_recorded(), *summaries.values()],
        "reached": {
            name: sum(figures.count for figures in each.reached.values())
            for name, each in summaries.items()
        },
        "differing": differing_settings(groups),
        "recorded": recorded,
        "best": records.best(runs),
        "mistakes": mistakes,
        "digits": [
            (mistake, Markup(plots.digit(f"digit{number}", mistake.image)))
            for number, mistake in enumerate(mistakes.most_confident if mistakes else ())
        ],
        "settings": facts(map(_settings, runs)),
        "environment": facts(map(_environment, runs)),
    }
    drawn = _curve_plots(curves, recorded), _finals_plot(curves, recorded)
    standings = {name: summary.standing(group[0]) for name, group in groups.items()}
    template = _TEMPLATES.get_template("report.html")
    made = {}
    for language, other in itertools.permutations(run_folder.LANGUAGES):
        translate = translation(language)
        made[run_folder.report_in(language, path)] = template.render(
            **values,
            _=translate,
            other=run_folder.report_in(other, path).name,
            title=_title(groups, translate),
            curves={name: _translated(picture, translate) for name, picture in drawn[0].items()},
            finals=_translated(drawn[1], translate),
            standings={name: text.stands(each, translate) for name, each in standings.items()},
            explanations={
                name: text.explanation(each.verdict, translate)
                for name, each in summaries.items()
                if each.verdict
            },
            intervals={
                name: text.not_excluded(each.verdict.comparison, translate)
                for name, each in summaries.items()
                if each.verdict and each.verdict.comparison
            },
        )
    return made


def translation(language: str) -> text.Translate:
    """Return a function that translates sentences; one without a translation stays as it is."""
    if language == "en":
        return text.english
    sentences = json.loads(CHINESE.read_text(encoding="utf-8"))
    return lambda sentence: sentences.get(sentence, sentence)


def _title(groups: Mapping[str, Sequence[records.Record]], _: text.Translate) -> str:
    runs = [*itertools.chain(*groups.values())]
    if len(runs) == 1:
        return _("Run {name}").format(name=runs[0].folder)
    return _("Runs of {names}").format(names=", ".join(groups))


def _translated(picture: str, _: text.Translate) -> Markup:
    """Return a picture with its labels translated, but for the numbers at their ends."""

    def label(found: re.Match[str]) -> str:
        return f">{_(found[1])}{found[2] or ''}</text>"

    return Markup(re.sub(r">([^<>]+?)( \(\d+\)| [\d.]+ %)?</text>", label, picture))


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
        "arithmetic": run.arithmetic,
        "device": f"{device['kind']}: {device['name']}, {device['cores']} cores",
        "git commit": git["commit"] + (", with changes" if git["changed"] else ""),
        **{f"SHA-256 of {split} data": digest for split, digest in run.data_sha256.items()},
    }


def _curve_plots(groups: Mapping[str, plots.Curves], recorded: plots.Curves) -> dict[str, str]:
    """Draw one plot for each group, all with the same axes."""
    limits = plots.limits_of(itertools.chain(recorded, *groups.values()))
    return {
        name: plots.curves(f"curves{number}", curves, recorded, limits)
        for number, (name, curves) in enumerate(groups.items())
    }


def _finals_plot(groups: Mapping[str, plots.Curves], recorded: plots.Curves) -> str:
    finals = [curve[-1:] for curve in itertools.chain(recorded, *groups.values())]
    limits = plots.limits_of([*finals, [reference.REPORTED_TEST]])
    return plots.finals("finals", groups, recorded, limits)
