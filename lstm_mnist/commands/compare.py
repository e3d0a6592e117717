"""Train many runs, or take finished ones, and judge them by statistics."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from absl import flags

from lstm_mnist import config
from lstm_mnist.commands import common, paths, recipe, reports, thresholds
from lstm_mnist.runs import memory, run_folder
from lstm_mnist.studies import fleet, pooling, records
from lstm_mnist.studies.gate import MAX_RUNS, enforced
from lstm_mnist.system import files, runtime
from lstm_mnist.system.errors import OutputError, UsageError

_RUNS = flags.DEFINE_integer("runs", None, "Train this many seeds of each variant.", 1, MAX_RUNS)
_VARIANTS = flags.DEFINE_list(
    "variants", config.DEFAULT_VARIANT, f"Variants of --runs: {', '.join(config.VARIANTS)}."
)
_FROM = flags.DEFINE_list(
    "from",
    None,
    "Instead of --runs: finished runs' folders, folders that hold such, or files written by "
    "--save. More of them may follow as arguments.",
)
_STUDY_DIR = paths.define(
    "study_dir",
    "runs/study",
    "Folder of --runs; what is finished there is not trained again.",
    OutputError,
)
_WORKERS = flags.DEFINE_integer(
    "workers", runtime.cores(), "Runs trained side by side, sharing the cores.", lower_bound=1
)
_SCHEDULER = flags.DEFINE_string(
    "scheduler", None, "Address of a Dask scheduler, tcp://HOST:PORT. By default a cluster here."
)
_SAVE = paths.define("save", None, "JSON file to keep all runs in; --from reads it.", OutputError)
_REPORT = paths.define(
    "report",
    None,
    "HTML file for the report. By default report.html in --study_dir with --runs.",
    OutputError,
)
flags.adopt_module_key_flags(thresholds)
flags.adopt_module_key_flags(recipe)
flags.adopt_module_key_flags(common)


def main(arguments: Sequence[str]) -> int:
    """Run the command. Raises UserError."""
    if (_RUNS.value is None) == (_FROM.value is None):
        raise UsageError("compare needs either --runs=N or --from=DIR")
    gate = thresholds.wanted()
    report = _report(paths.of(*(_FROM.value or ()), *arguments))
    if _FROM.value is None:
        common.refuse(arguments)
        folders = list(_trained())
    else:
        _refuse_flags_of_training()
        folders = paths.given((*_FROM.value, *arguments), "--from needs folders of runs, or files")
    runs = records.read(folders, diverged=True)
    groups = pooling.pooled(runs)
    failures = [
        failure
        for name, group in groups.items()
        for failure in gate.failures_of_median(name, group)
    ]
    with enforced(failures):
        if _SAVE.value:
            records.write(Path(_SAVE.value), runs)
        from lstm_mnist.studies import alarms, summary, text

        for name, group in groups.items():
            print(f"\n{text.describe(summary.summarise(name, group), group)}", flush=True)
        if report:
            reports.write(report, groups, reports.mistakes_of_best(runs, folders))
        for name, group in groups.items() if gate.asks else ():
            print(f"\n{name}: {alarms.told(gate, group[0], runs=len(group))}", flush=True)
    return 0


def _report(read: Sequence[Path]) -> Path | None:
    """Return where the report is to be, after checking it and --save against what is read."""
    report = None
    if _REPORT.value:
        report = Path(_REPORT.value)
        files.check_file(report)
    elif _FROM.value is None:
        report = Path(_STUDY_DIR.value, run_folder.REPORT)
    pages = reports.places(report) if report else []
    paths.check_outputs(paths.of(_SAVE.value), kept=[*read, *pages])
    if _REPORT.value:
        paths.check_outputs(pages, kept=read)
    return report


def _refuse_flags_of_training() -> None:
    """Raise UsageError for flags without an effect on finished runs, and for a second --from."""
    if flags.FLAGS["from"].present > 1:
        raise UsageError("--from is given twice: give all folders and files after the first one")
    shared = (common.DEVICE, common.KERNEL, recipe.RECORD_DYNAMICS)
    own = {flag.name for flag in (_VARIANTS, _STUDY_DIR, _WORKERS, _SCHEDULER, *shared)}
    if not _REPORT.value:  # for which the best run's network reads the test images
        own.add(common.DATA_DIR.name)
    for name in sorted(own | recipe.NAMES):
        if flags.FLAGS[name].present:
            raise UsageError(f"--{name} is for training: it goes with --runs, not with --from")


def _trained() -> Iterator[Path]:
    """Train what is not finished yet, and yield all runs' folders."""
    unknown = [name for name in _VARIANTS.value if name not in config.VARIANTS]
    if unknown or not _VARIANTS.value:
        raise UsageError(
            f"--variants: there is no {''.join(unknown[:1]) or 'variant without a name'}; "
            f"there are: {', '.join(config.VARIANTS)}"
        )
    if _SCHEDULER.value == "":
        raise UsageError("--scheduler= is empty: name an address, or omit the flag")
    fleet.check_installed(_RUNS.name, "tqdm")
    data_dir = common.data_dir()
    folder = Path(_STUDY_DIR.value)
    settings = [recipe.chosen(name, s) for s in range(_RUNS.value) for name in _VARIANTS.value]
    runs = fleet.folders(folder, settings)
    with fleet.only_one(folder):
        if missing := fleet.missing(runs, dynamics=recipe.RECORD_DYNAMICS.value):
            if not _SCHEDULER.value:
                memory.check(settings[0], min(_WORKERS.value, len(missing)))
            there = records.read((run for run in runs if run not in missing), diverged=True)
            groups = pooling.pooled(there)
            _train(missing, data_dir, {name: group[0] for name, group in groups.items()})
    yield from runs


def _train(
    missing: Mapping[Path, config.Config], data_dir: str | None, like: dict[str, records.Record]
) -> None:
    """Train runs, reporting each when it is finished.

    `like` has a run of each label that is there already. Raises UsageError for the first run that
    cannot be pooled with it, by its arithmetic for one.
    """
    from tqdm import tqdm

    finished = fleet.train(
        missing,
        data_dir=data_dir,
        device=common.DEVICE.value,
        workers=_WORKERS.value,
        scheduler=_SCHEDULER.value,
        dynamics=recipe.RECORD_DYNAMICS.value,
        tell=lambda text: print(f"lstm_mnist: {text}", file=sys.stderr, flush=True),
    )
    progress = tqdm(total=len(missing), unit="run", disable=not common.progress())
    with contextlib.closing(finished), progress as bar:
        for folder in finished:
            run = records.read_folder(folder)
            if (other := like.setdefault(run.label, run)) is not run:
                pooling.pooled([other, run])
            end = run.diverged or f"final test {run.test_curve[-1]:.2f} %"
            bar.write(f"{folder}: {end}, {run.seconds:.0f} s")
            bar.update()
