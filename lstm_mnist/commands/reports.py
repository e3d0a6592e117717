"""The report of a run or a study."""

import datetime
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_mnist.commands import common
from lstm_mnist.runs import run_folder
from lstm_mnist.studies import records
from lstm_mnist.system import files, runtime

if TYPE_CHECKING:
    from lstm_mnist.studies.mistakes import Mistakes


def places(path: Path) -> list[Path]:
    """Return the paths that `write` writes to."""
    return [run_folder.report_in(language, path) for language in run_folder.LANGUAGES]


def write(
    path: Path,
    groups: Mapping[str, Sequence[records.Record]],
    mistakes: "Mistakes | None",
) -> None:
    """Write the report of groups of runs in each language; see `report`. Raises OutputError."""
    # Matplotlib warns about an unwritable home and slow font searches, which only cost seconds.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        tempfile.gettempdir()
    except OSError:  # Matplotlib's cache needs a writable folder; the report's is one
        tempfile.tempdir = str(path.absolute().parent)
    os.environ["MPLBACKEND"] = "agg"  # another would be imported, and may not exist
    from lstm_mnist.studies import report

    written = datetime.datetime.now().astimezone()
    for place, page in report.pages(path, groups, mistakes, written).items():
        files.write_text(place, page)
    print(f"Report: {path}", flush=True)


def mistakes_of_best(runs: Sequence[records.Record], paths: Sequence[Path]) -> "Mistakes | None":
    """Return the mistakes of the best run's model, None where the model is not at hand."""
    folder = records.folder_of(records.best(runs), paths)
    if folder is None or not (folder / run_folder.BEST_MODEL).exists():
        return None
    runtime.start("cpu", "keras")  # takes seconds anywhere; --device is for training
    from lstm_mnist import data
    from lstm_mnist.runs import model_files
    from lstm_mnist.studies import mistakes

    model = model_files.load(folder / run_folder.BEST_MODEL)
    return mistakes.find(model, data.load(common.data_dir()).test)
