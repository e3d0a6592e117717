"""Groups of runs in words: for a terminal, and the sentences of the report."""

import math
from collections.abc import Callable, Sequence

from lstm_mnist.results import Epoch
from lstm_mnist.studies import protocol, statistics
from lstm_mnist.studies.records import Record
from lstm_mnist.studies.summary import Standing, Summary, Verdict, standing

# Maps a sentence, with braces for its values, to the one that is shown in its place.
Translate = Callable[[str], str]

REASONS = {
    "REPRODUCED": "the early means are equivalent; no difference of falls or finals is shown",
    "LOWER": "lower in all that differs: {differing}",
    "HIGHER": "higher in all that differs: {differing}",
    "DIFFERENT": "what differs points in opposite ways: {differing}",
    "INCONCLUSIVE": "nothing differs, but the early means are not shown to be equivalent",
}


def english(sentence: str) -> str:
    """Return the sentence itself."""
    return sentence


def describe(summary: Summary, runs: Sequence[Record]) -> str:
    """Return all that is said about a group of runs."""
    parts = [
        _table_of_runs(summary.name, runs),
        _distribution(summary),
        _against_reported(summary),
        _against_recorded(summary),
    ]
    if len(runs) == 1:
        parts.insert(3, stands(standing(runs[0])))
    return "\n\n".join(parts)


def _table_of_runs(name: str, runs: Sequence[Record]) -> str:
    total = len(runs)
    lines = [
        f"{name}: {total} run{'s' if total > 1 else ''}; accuracy % of the final epoch and of "
        "the best by held-out images",
        f"{'seed':>6} {'train':>7} {'held':>7} {'test':>7} {'right':>6} {'loss':>7}  "
        f"{'best':>4} {'train':>7} {'held':>7} {'test':>7} {'right':>6}  "
        f"{'fell at':>7} {'collapsed':9} {'s':>5}  result",
    ]
    lines += [
        f"{run.config.seed:6} {_accuracies(run.final)} {run.final.test.loss:7.4f}  "
        f"{run.best.number:4} {_accuracies(run.best)}  "
        f"{statistics.first_fall(run.test_curve) or '-':>7} "
        f"{'yes' if run.collapsed else 'no':9} {run.seconds:5.0f}  {run.sha256[:12]}"
        for run in runs
    ]
    return "\n".join(lines)


def _accuracies(epoch: Epoch) -> str:
    percents = " ".join(f"{score.percent:7.2f}" for score in epoch.scores.values())
    return f"{percents} {epoch.test.correct:6}"


def _distribution(summary: Summary) -> str:
    lines = [f"{'test accuracy %':24} {'mean':>7} {'sd':>6} {'median':>7} {'min':>7} {'max':>7}"]
    for label, sample in summary.accuracies.items():
        sd = "-" if math.isnan(sample.sd) else f"{sample.sd:.3f}"
        lines.append(
            f"{label:24} {sample.mean:7.2f} {sd:>6} {sample.median:7.2f} "
            f"{sample.minimum:7.2f} {sample.maximum:7.2f}"
        )
    lines += [
        f"fell: {_rate(summary.falls)}; a run has fallen once its test accuracy is "
        f"{protocol.FALL:g} points or more below the highest so far",
        f"collapsed: {_rate(summary.collapses)}; a run has collapsed if it ends so far below its "
        "highest",
    ]
    if summary.diverged:
        lines.append(
            f"diverged: {summary.diverged} of {summary.count}, which count with the accuracy of a "
            "network that names every image 0"
        )
    return "\n".join(lines)


def _rate(rate: statistics.Rate) -> str:
    low, high = rate.interval
    return f"{rate.count} of {rate.total} (95 % interval {low:.0%} to {high:.0%})"


def _against_reported(summary: Summary) -> str:
    lines = [
        f"reported {split} accuracy {reached.reported} % (95 % interval "
        f"{reached.interval.low:.2f} to {reached.interval.high:.2f}): "
        f"{reached.count} of {summary.count} runs end there or above; a further run ends between "
        f"{reached.finals.minimum:.2f} and {reached.finals.maximum:.2f} with probability "
        f"{statistics.range_confidence(summary.count):.0%}"
        for split, reached in summary.reached.items()
    ]
    return "\n".join([*lines, f"within both of these intervals end {_rate(summary.near)}"])


def _against_recorded(summary: Summary) -> str:
    assert summary.verdict
    compared, train = summary.verdict.comparison, summary.verdict.train
    told = f"{heading(summary.verdict)}: {explanation(summary.verdict)}"
    if not compared or not train:
        return told
    low, high = compared.equivalence_interval
    return (
        f"{measured(compared)}\n"
        f"90 % interval of the early means' difference: {low:+.3f} to {high:+.3f} points, to be "
        f"within {protocol.MARGIN}; on the training images {train.difference:+.3f} points (95 % "
        f"interval {train.difference_interval.low:+.3f} to {train.difference_interval.high:+.3f})\n"
        f"{told}"
    )


def measured(compared: statistics.Comparison, others: str = "recorded runs of the original") -> str:
    """Return a table of the measures in which runs may differ from others."""
    first, last = protocol.EARLY
    values = {
        f"mean of epochs {first} to {last}, points": (
            f"{compared.difference:+.3f}",
            "{:+.3f} to {:+.3f}".format(*compared.difference_interval),
            "Welch",
        ),
        "share that falls, points": (
            f"{100 * compared.falls:+.0f}",
            "{:+.0f} to {:+.0f}".format(*(100 * end for end in compared.falls_interval)),
            "log-rank",
        ),
        "a run ends above one of them": (
            f"{compared.above:.0%}",
            "{:.0%} to {:.0%}".format(*compared.above_interval),
            "Mann-Whitney",
        ),
    }
    corrected = compared.corrected
    lines = [
        f"against {compared.others} {others}",
        f"{'':30} {'difference':>10} {'95 % interval':>18}  {'test':12} {'p':>8} {'by Holm':>8}",
    ]
    lines += [
        f"{label:30} {value:>10} {interval:>18}  {test:12} "
        f"{compared.p[name]:8.2g} {corrected[name]:8.2g}"
        for name, (label, (value, interval, test)) in zip(
            statistics.MEASURES, values.items(), strict=True
        )
    ]
    return "\n".join(lines)


def heading(verdict: Verdict, _: Translate = english) -> str:
    """Return the verdict's word, or that there is none."""
    return f"VERDICT: {verdict.word}" if verdict.word else _("NO VERDICT")


def explanation(verdict: Verdict, _: Translate = english) -> str:
    """Return why the verdict is what it is, or why there is none."""
    if not verdict.word or not verdict.comparison:
        phrases = [_(phrase).format(**values) for phrase, values in verdict.departures]
        return _("preliminary by the plan of the studies: {departures}").format(
            departures=_("; ").join(phrases)
        )
    differing = _(", ").join(map(_, verdict.comparison.differing))
    return _(REASONS[verdict.word]).format(differing=differing)


def not_excluded(compared: statistics.Comparison, _: Translate = english) -> str:
    """Return the 95 % intervals within which the true differences may lie."""
    return _(
        "Differences from the recorded runs, with 95 % intervals: mean of epochs {first} to {last} "
        "{difference:+.2f} points ({difference_low:+.2f} to {difference_high:+.2f}); share of runs "
        "that fall {falls:+.0f} percentage points ({falls_low:+.0f} to {falls_high:+.0f}); a run "
        "ends above a recorded one with probability {above:.0%} ({above_low:.0%} to "
        "{above_high:.0%})."
    ).format(
        first=protocol.EARLY[0],
        last=protocol.EARLY[1],
        difference=compared.difference,
        difference_low=compared.difference_interval.low,
        difference_high=compared.difference_interval.high,
        falls=100 * compared.falls,
        falls_low=100 * compared.falls_interval.low,
        falls_high=100 * compared.falls_interval.high,
        above=compared.above,
        above_low=compared.above_interval.low,
        above_high=compared.above_interval.high,
    )


def stands(place: Standing | None, _: Translate = english) -> str:
    """Return where a run's end lies among the package's runs of the same settings."""
    if place is None:
        return _("No runs of these settings are part of the package.")
    lower, studied = place.lower, place.studied
    sentence = _(
        "Of {total} studied runs with other seeds, which end between {minimum:.2f} and "
        "{maximum:.2f} %, {lower} end lower and {equal} as high: a share of {share:.0%} lower "
        "(95 % interval {low:.0%} to {high:.0%})."
    ).format(
        total=lower.total,
        minimum=studied.minimum,
        maximum=studied.maximum,
        lower=lower.count,
        equal=place.equal,
        share=lower.fraction,
        low=lower.interval.low,
        high=lower.interval.high,
    )
    if place.same:
        return sentence
    note = _("They are of another arithmetic, {arithmetic}.").format(arithmetic=place.arithmetic)
    return f"{sentence} {note}"
