"""Replay a recorded trace of the original script and compare what comes out."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from lstm_mnist.commands import common, paths
from lstm_mnist.recurrence import library
from lstm_mnist.system import runtime
from lstm_mnist.system.errors import UsageError

if TYPE_CHECKING:
    from lstm_mnist.recording import Check

_TRACE = paths.define(
    "trace",
    None,
    "NPZ file of a trace, its JSON file beside it. By default the trace that is part of the "
    "package: seed 7 under TensorFlow 1.15.5.",
)
_JSON = flags.DEFINE_bool(
    "json", False, "Print one JSON object, when all is compared, in place of the table."
)
flags.adopt_module_key_flags(common)


def main(arguments: Sequence[str]) -> int:
    """Run the command: 0 if every quantity is within its bound, else 1. Raises UserError."""
    common.refuse(arguments)
    data_dir = common.data_dir()
    if _TRACE.value is not None:
        _check_files(Path(_TRACE.value))
    kernel = library.choose(common.KERNEL.value)
    from lstm_mnist import recording

    trace = recording.load_trace(Path(_TRACE.value or recording.SHIPPED_TRACE))
    runtime.start(common.DEVICE.value, kernel)
    from lstm_mnist import data, verification

    settings = dataclasses.replace(verification.ORIGINAL, kernel=common.KERNEL.value)
    dataset = data.load(data_dir, progress=common.progress())
    if not _JSON.value:
        print(f"{'quantity':57} {'ours':>12} {'recorded':>12} {'difference':>10} {'bound':>8}")
    checks = []
    for check in verification.checks(trace, dataset, settings):
        checks.append(check)
        if not _JSON.value:
            print(_row(check), flush=True)
    failed = sum(not check.passed for check in checks)
    if _JSON.value:
        rows = [{**dataclasses.asdict(check), "passed": check.passed} for check in checks]
        fields = {"seed": trace.seed, "kernel": kernel, "passed": not failed, "checks": rows}
        print(json.dumps(_finite(fields), indent=1, allow_nan=False))
    else:
        print(f"FAILED: {failed} out of bounds" if failed else "All within bounds.")
    return 1 if failed else 0


def _check_files(trace: Path) -> None:
    """Raise UsageError unless a trace's two files are there."""
    if not trace.is_file():
        raise UsageError(f"--trace={trace}: there is no file {trace}")
    if not (beside := trace.with_suffix(".json")).is_file():
        raise UsageError(f"--trace={trace}: there is no file {beside}")


def _row(check: "Check") -> str:
    bound = f"{check.bound:8.0e}" if check.bound else f"{'exact':>8}"
    difference = f"{check.difference:10.1e}" if check.bound else f"{check.difference:10.3g}"
    sides = f"{_short(check.ours):>12} {_short(check.recorded):>12}"
    verdict = "ok" if check.passed else "FAILED"
    return f"{check.quantity:57} {sides} {difference} {bound}  {verdict}"


def _short(value: float | str) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _finite(value: Any) -> Any:
    """Return a JSON value with None for NaN and infinities, which JSON lacks."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
