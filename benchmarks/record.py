"""Where results are kept, what is recorded with them, and how pictures are written."""

import datetime
import importlib.metadata
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from lstm_mnist.studies import pooling, records
from lstm_mnist.system import files, runtime

FOLDER = Path(__file__).parent / "results"
PEERS = ("torch", "jax")


def circumstances(machine: dict[str, Any]) -> dict[str, Any]:
    """Return when, on which machine and with which versions something was measured, for JSON."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": {
            **runtime.versions(),
            **{name: importlib.metadata.version(name) for name in PEERS},
        },
        "git": runtime.git_state(),
    }


def kept(path: Path, circumstances: dict[str, Any]) -> dict[str, Any]:
    """Return what an earlier call wrote; SystemExit where that was in other circumstances."""
    written: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name in sorted(circumstances.keys() - {"date"}):
        if written[name] != circumstances[name]:
            raise SystemExit(f"{path} was made with another {name}: move it away to begin anew")
    return written


def studied(folder: Path, labels: Iterable[str]) -> dict[str, list[records.Record]]:
    """Return the runs of a folder's study files by label, of those labels that have a file."""
    paths = (folder / f"{label}.json" for label in labels)
    there = [path for path in paths if path.exists()]
    return pooling.pooled(records.read(there, diverged=True))


def spread(values: Sequence[float], *, digits: int = 2) -> str:
    """Return the median of values, and their range in parentheses."""
    middle, least, most = (
        f"{value:.{digits}f}" for value in (median(values), min(values), max(values))
    )
    return f"{middle} ({least}..{most})"


def save(figure: Any, path: Path) -> None:
    """Write a Matplotlib figure as SVG: the same bytes for the same figure."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": path.stem}), files.replacing(path) as temporary:
        figure.savefig(temporary, metadata={"Date": None})
