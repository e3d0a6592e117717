"""Train many runs, or take finished ones, and judge them by statistics."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from lstm_mnist import config
from lstm_mnist.commands import common, recipe, thresholds
from lstm_mnist.runs import run_folder
from lstm_mnist.studies import fleet, records, reference
from lstm_mnist.studies.gate import Gate, enforced
from lstm_mnist.system import files, runtime
from lstm_mnist.system.errors import OutputError, UsageError

if TYPE_CHECKING:
    from lstm_mnist.studies.mistakes import Mistakes

_RUNS = flags.DEFINE_integer("runs", None, "Train this many seeds of each variant.", lower_bound=1)
_VARIANTS = flags.DEFINE_list(
    "variants", config.DEFAULT_VARIANT, f"Variants of --runs: {', '.join(config.VARIANTS)}."
)
_FROM = flags.DEFINE_list(
    "from",
    None,
    "Instead of --runs: finished runs' folders, a folder of such folders, or files written by "
    "--save. More of them may follow as arguments.",
)
_STUDY_DIR = flags.DEFINE_string(
    "study_dir", "runs/study", "Folder of --runs; what is finished there is not trained again."
)
_WORKERS = flags.DEFINE_integer(
    "workers", runtime.cores(), "Runs trained side by side, sharing the cores.", lower_bound=1
)
_SCHEDULER = flags.DEFINE_string(
    "scheduler", None, "Address of a Dask scheduler, tcp://HOST:PORT. By default a cluster here."
)
_SAVE = flags.DEFINE_string("save", None, "JSON file to keep all runs in; --from reads it.")
_REPORT = flags.DEFINE_string(
    "report", None, "HTML file for the report. By default report.html in --study_dir with --runs."
)
flags.adopt_module_key_flags(thresholds)
flags.adopt_module_key_flags(recipe)
flags.adopt_module_key_flags(common)


def main(arguments: Sequence[str]) -> int:
    """Run the command. Raises UserError."""
    if (_RUNS.value is None) == (_FROM.value is None):
        raise UsageError("compare needs either --runs=N or --from=DIR")
    gate = thresholds.wanted()
    for file in (_SAVE.value, _REPORT.value):
        if file:
            files.check_file(Path(file))
    if _FROM.value is None:
        common.refuse(arguments)
        paths = list(_trained())
        report = _REPORT.value or Path(_STUDY_DIR.value, run_folder.REPORT)
    else:
        paths = common.paths((*_FROM.value, *arguments), "--from needs folders of runs, or files")
        report = _REPORT.value
    runs = records.read(paths)
    groups = records.pooled(runs)
    failures = [text for name, group in groups.items() for text in _failures(gate, name, group)]
    with enforced(failures):
        if _SAVE.value:
            records.write(Path(_SAVE.value), runs)
        for name, group in groups.items():
            print(f"\n{describe(name, group)}", flush=True)
        if report:
            title = f"Runs of {', '.join(groups)}"
            common.write_report(Path(report), title, groups, _mistakes(runs, paths))
        for name, group in groups.items() if gate.asks else ():
            print(f"\n{name}: {_false_alarm(gate, group)}", flush=True)
    return 0


def _trained() -> Iterator[Path]:
    """Train what is not finished yet, and yield all runs' folders."""
    if unknown := [name for name in _VARIANTS.value if name not in config.VARIANTS]:
        raise UsageError(
            f"--variants: there is no {unknown[0]}; there are: {', '.join(config.VARIANTS)}"
        )
    fleet.check_installed()
    data_dir = common.data_dir()
    folder = Path(_STUDY_DIR.value)
    settings = [recipe.chosen(name, s) for s in range(_RUNS.value) for name in _VARIANTS.value]
    runs = {folder / f"{records.label(each.as_dict())}-seed{each.seed}": each for each in settings}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--study_dir={folder} cannot be made: {error.strerror}") from error
    with fleet.only_one(folder):
        if missing := fleet.missing(runs):
            _train(missing, data_dir)
    yield from runs


def _train(missing: Mapping[Path, config.Config], data_dir: str | None) -> None:
    """Train runs, telling of each when it is finished."""
    from tqdm import tqdm

    finished = fleet.train(
        missing,
        data_dir=data_dir,
        device=common.DEVICE.value,
        workers=_WORKERS.value,
        scheduler=_SCHEDULER.value,
    )
    with tqdm(total=len(missing), unit="run", disable=not common.progress()) as bar:
        for folder in finished:
            run = records.read_folder(folder)
            bar.write(f"{folder}: final test {run.test_curve[-1]:.2f} %, {run.seconds:.0f} s")
            bar.update()


def _mistakes(runs: Sequence[records.Run], paths: Sequence[Path]) -> "Mistakes | str":
    """Return the mistakes of the best run's model, or why there are none."""
    best = records.best(runs)
    folder = records.folder_of(best, paths)
    if folder is None or not (folder / run_folder.BEST_MODEL).exists():
        return f"The model of the best run, {best.folder}, is not at hand: only its figures are."
    runtime.start("cpu", "keras")  # seconds on any machine, and --device was for training
    from lstm_mnist import data
    from lstm_mnist.runs import model_files
    from lstm_mnist.studies import mistakes

    model = model_files.load(folder / run_folder.BEST_MODEL)
    return mistakes.find(model, data.load(common.data_dir()).test)


def describe(name: str, runs: Sequence[records.Run]) -> str:
    """Return all that is said about a group of runs."""
    return "\n\n".join(
        (
            _table_of_runs(name, runs),
            _distribution(runs),
            _against_report(runs),
            _against_recorded(runs),
        )
    )


def _table_of_runs(name: str, runs: Sequence[records.Run]) -> str:
    total = len(runs)
    lines = [
        f"{name}: {total} run{'s' if total > 1 else ''}; accuracy % of the final epoch and of "
        "the best by held-out images",
        f"{'seed':>6} {'train':>7} {'held':>7} {'test':>7} {'right':>6} {'loss':>7}  "
        f"{'best':>4} {'train':>7} {'held':>7} {'test':>7} {'right':>6}  "
        f"{'collapsed':9} {'s':>5}  result",
    ]
    for run in runs:
        final, best = run.final, run.best
        lines.append(
            f"{run.config['seed']:6} {_accuracies(final)} {final.test_loss:7.4f}  "
            f"{run.epochs.index(best) + 1:4} {_accuracies(best)}  "
            f"{'yes' if run.collapsed else 'no':9} {run.seconds:5.0f}  {run.sha256[:12]}"
        )
    return "\n".join(lines)


def _accuracies(epoch: records.Epoch) -> str:
    percents = " ".join(f"{epoch.percent(split):7.2f}" for split in config.TOTALS)
    return f"{percents} {epoch.test:6}"


def _distribution(runs: Sequence[records.Run]) -> str:
    from lstm_mnist.studies import statistics

    lines = [
        f"{'test accuracy %':24} {'mean':>7} {'sd':>6} {'median':>7} {'min':>7} {'max':>7}",
    ]
    for label, epoch in (("final epoch", "final"), ("best by held-out images", "best")):
        values = [getattr(run, epoch).percent("test") for run in runs]
        summary = statistics.summarise(values)
        sd = "-" if math.isnan(summary.sd) else f"{summary.sd:.3f}"
        lines.append(
            f"{label:24} {summary.mean:7.2f} {sd:>6} {summary.median:7.2f} "
            f"{summary.minimum:7.2f} {summary.maximum:7.2f}"
        )
    rate = statistics.rate(sum(run.collapsed for run in runs), len(runs))
    lines.append(
        f"collapsed: {rate.count} of {rate.total} (95 % interval {rate.interval.low:.0%} to "
        f"{rate.interval.high:.0%}); a run has collapsed if it ends {reference.COLLAPSE_DROP:g} "
        "points or more below its highest test accuracy"
    )
    return "\n".join(lines)


def _against_report(runs: Sequence[records.Run]) -> str:
    from lstm_mnist.studies import statistics

    lines = []
    for split, reported in reference.REPORTED.items():
        finals = [run.final.percent(split) for run in runs]
        low, high = statistics.wilson(reported, config.TOTALS[split])
        reached = sum(final >= reported for final in finals)
        lines.append(
            f"reported {split} accuracy {reported} % (95 % interval {low:.2f} to {high:.2f}): "
            f"{reached} of {len(runs)} runs end there or above; a further run ends between "
            f"{min(finals):.2f} and {max(finals):.2f} with probability "
            f"{statistics.range_confidence(len(runs)):.0%}"
        )
    return "\n".join(lines)


def _against_recorded(runs: Sequence[records.Run]) -> str:
    from lstm_mnist.studies import statistics

    if len(runs) < 2:
        return f"VERDICT: {statistics.ONE_RUN.word}: {statistics.ONE_RUN.explanation}"
    recorded = reference.recorded_test_curves()
    curves = [run.test_curve for run in runs]
    result = statistics.against_recorded(curves, recorded)
    verdict = statistics.verdict(result, curves, recorded)
    return (
        f"against {len(recorded)} recorded runs of the original: finals p = {result.final_p:.2g} "
        f"(Mann-Whitney), highest p = {result.highest_p:.2g} (Welch), collapses "
        f"p = {result.collapse_p:.2g} (Fisher)\n"
        f"mean of the highest accuracies: {result.difference:+.3f} points, 90 % interval "
        f"{result.interval.low:+.3f} to {result.interval.high:+.3f}, margin {statistics.MARGIN}\n"
        f"VERDICT: {verdict.word}: {verdict.explanation}"
    )


def _false_alarm(gate: Gate, runs: Sequence[records.Run]) -> str:
    """Say how probable it is that sound runs miss a threshold."""
    from lstm_mnist.studies import statistics

    studied = records.committed(runs[0])
    if not studied:
        return (
            "false alarm: unknown, because no runs with these settings were studied by this "
            f"arithmetic, {runs[0].arithmetic}"
        )
    epochs = [getattr(run, gate.epoch) for run in studied]
    missed = sum(bool(gate.failures("", train=one.train, test=one.test)) for one in epochs)
    rate = statistics.rate(missed, len(studied))
    return (
        f"false alarm: {missed} of {rate.total} studied runs miss the threshold (95 % interval of "
        f"the rate {rate.interval.low:.0%} to {rate.interval.high:.0%}); the median of {len(runs)} "
        f"misses it with probability {statistics.false_alarm(missed / rate.total, len(runs)):.2%}, "
        f"at most {statistics.false_alarm(rate.interval.high, len(runs)):.2%}"
    )


def _failures(gate: Gate, name: str, runs: Sequence[records.Run]) -> list[str]:
    """Return what the medians over the runs miss."""
    epochs = [getattr(run, gate.epoch) for run in runs]
    return gate.failures(
        f"{name}, median of {len(runs)} runs",
        train=statistics.median_low(epoch.train for epoch in epochs),
        test=statistics.median_low(epoch.test for epoch in epochs),
    )
