"""Groups of runs as text for a terminal."""

import math
from collections.abc import Sequence

from lstm_mnist.results import Epoch
from lstm_mnist.studies import reference, statistics
from lstm_mnist.studies.records import Record
from lstm_mnist.studies.summary import FalseAlarm, Summary


def describe(summary: Summary, runs: Sequence[Record]) -> str:
    """Return all that is said about a group of runs."""
    return "\n\n".join(
        (
            _table_of_runs(summary.name, runs),
            _distribution(summary),
            _against_reported(summary),
            _against_recorded(summary),
        )
    )


def _table_of_runs(name: str, runs: Sequence[Record]) -> str:
    total = len(runs)
    lines = [
        f"{name}: {total} run{'s' if total > 1 else ''}; accuracy % of the final epoch and of "
        "the best by held-out images",
        f"{'seed':>6} {'train':>7} {'held':>7} {'test':>7} {'right':>6} {'loss':>7}  "
        f"{'best':>4} {'train':>7} {'held':>7} {'test':>7} {'right':>6}  "
        f"{'collapsed':9} {'s':>5}  result",
    ]
    lines += [
        f"{run.config.seed:6} {_accuracies(run.final)} {run.final.test.loss:7.4f}  "
        f"{run.best.number:4} {_accuracies(run.best)}  "
        f"{'yes' if run.collapsed else 'no':9} {run.seconds:5.0f}  {run.sha256[:12]}"
        for run in runs
    ]
    return "\n".join(lines)


def _accuracies(epoch: Epoch) -> str:
    percents = " ".join(f"{score.percent:7.2f}" for score in epoch.scores.values())
    return f"{percents} {epoch.test.correct:6}"


def _distribution(summary: Summary) -> str:
    lines = [f"{'test accuracy %':24} {'mean':>7} {'sd':>6} {'median':>7} {'min':>7} {'max':>7}"]
    for label, epoch in (("final epoch", "final"), ("best by held-out images", "best on held out")):
        sample = summary.accuracies[epoch]
        sd = "-" if math.isnan(sample.sd) else f"{sample.sd:.3f}"
        lines.append(
            f"{label:24} {sample.mean:7.2f} {sd:>6} {sample.median:7.2f} "
            f"{sample.minimum:7.2f} {sample.maximum:7.2f}"
        )
    rate = summary.collapses
    lines.append(
        f"collapsed: {rate.count} of {rate.total} (95 % interval {rate.interval.low:.0%} to "
        f"{rate.interval.high:.0%}); a run has collapsed if it ends {reference.COLLAPSE_DROP:g} "
        "points or more below its highest test accuracy"
    )
    return "\n".join(lines)


def _against_reported(summary: Summary) -> str:
    return "\n".join(
        f"reported {split} accuracy {reached.reported} % (95 % interval "
        f"{reached.interval.low:.2f} to {reached.interval.high:.2f}): "
        f"{reached.count} of {summary.count} runs end there or above; a further run ends between "
        f"{reached.finals.minimum:.2f} and {reached.finals.maximum:.2f} with probability "
        f"{statistics.range_confidence(summary.count):.0%}"
        for split, reached in summary.reached.items()
    )


def _against_recorded(summary: Summary) -> str:
    assert summary.verdict
    verdict = f"VERDICT: {summary.verdict.word}: {summary.verdict.explanation}"
    against = summary.against
    if against is None:
        return verdict
    return (
        f"against {against.recorded} recorded runs of the original: finals "
        f"p = {against.final_p:.2g} (Mann-Whitney), highest p = {against.highest_p:.2g} (Welch), "
        f"collapses p = {against.collapse_p:.2g} (Fisher)\n"
        f"mean of the highest accuracies: {against.difference:+.3f} points, 90 % interval "
        f"{against.interval.low:+.3f} to {against.interval.high:+.3f}, margin {statistics.MARGIN}\n"
        f"{verdict}"
    )


def tell(alarm: FalseAlarm | None, arithmetic: str) -> str:
    """Return how probable it is that sound runs fail a threshold."""
    if alarm is None:
        return (
            "false alarm: unknown, because no runs with these settings were studied by this "
            f"arithmetic, {arithmetic}"
        )
    rate = alarm.rate
    return (
        f"false alarm: {rate.count} of {rate.total} studied runs miss the threshold (95 % interval "
        f"of the rate {rate.interval.low:.0%} to {rate.interval.high:.0%}); the median of "
        f"{alarm.runs} misses it with probability {alarm.probability:.2%}, "
        f"at most {alarm.highest:.2%}"
    )
