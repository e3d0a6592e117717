"""Replay a recorded trace of the original script and compare every quantity with it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from lstm_mnist.commands import common
from lstm_mnist.recurrence import library
from lstm_mnist.system import runtime
from lstm_mnist.system.errors import UsageError

if TYPE_CHECKING:
    from lstm_mnist.verification import Check

_TRACE = flags.DEFINE_string(
    "trace",
    None,
    "NPZ file of a trace, its JSON file beside it. By default the trace that is part of the "
    "package: seed 7 under TensorFlow 1.15.5.",
)
flags.adopt_module_key_flags(common)


def main(arguments: Sequence[str]) -> int:
    """Run the command: 0 if every quantity is within its bound, else 1. Raises UserError."""
    common.refuse(arguments)
    data_dir = common.data_dir()
    for file in () if _TRACE.value is None else _trace_files(Path(_TRACE.value)):
        if not file.is_file():
            raise UsageError(f"--trace={_TRACE.value}: there is no file {file}")
    runtime.start(common.DEVICE.value, library.choose(common.KERNEL.value))
    from lstm_mnist import data, verification

    trace = verification.load_trace(Path(_TRACE.value or verification.SHIPPED_TRACE))
    settings = dataclasses.replace(verification.ORIGINAL, kernel=common.KERNEL.value)
    dataset = data.load(data_dir, progress=common.progress())
    print(f"{'quantity':51} {'deviation':>10} {'bound':>8}")
    failed = 0
    for check in verification.checks(trace, dataset, settings):
        print(_row(check), flush=True)
        failed += not check.passed
    print(f"FAILED: {failed} out of bounds" if failed else "All within bounds.")
    return 1 if failed else 0


def _trace_files(path: Path) -> tuple[Path, Path]:
    return path, path.with_suffix(".json")


def _row(check: "Check") -> str:
    bound = f"{check.bound:8.0e}" if check.bound else f"{'exact':>8}"
    deviation = f"{check.deviation:10.1e}" if check.bound else f"{check.deviation:10.0f}"
    return f"{check.quantity:51} {deviation} {bound}  {'ok' if check.passed else 'FAILED'}"
