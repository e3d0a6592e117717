"""Record what the document's script does under TensorFlow 1, on the CPU.

    python original/record.py --document=FILE --seed=7 --epochs=2 --output=trace.npz
    python original/record.py --document=FILE --seed=7 --runs=runs.json

The first records a trace for `python -m lstm_mnist verify --trace=trace.npz`, the second appends
the accuracies of a complete run to a file. See README.md beside this file.

The script is taken out of the document and must have a known SHA-256. Nothing in it is changed.
With a seed, two lines are added: `tf.set_random_seed` after the imports, and `numpy.random.seed`
just before the variables are initialised. It runs in a folder that holds links to our archives of
MNIST, observed by observer.py.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Callable, Iterator

import recordings
import script
from errors import RecorderError, UsageError
from observer import observe

ARCHIVES = Path(__file__).resolve().parents[1] / "lstm_mnist" / "archives"
# The script would download any that it did not find.
_ARCHIVE_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def main(arguments: list[str] | None = None) -> int:
    """Record, and return the exit code."""
    try:
        _record(_flags(arguments))
    except RecorderError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"the file system refuses: {error}", file=sys.stderr)
        return UsageError.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _record(flags: argparse.Namespace) -> None:
    found = script.script_of(flags.document)
    if found.sha256 != script.SHA256:
        raise RecorderError(
            f"--document={flags.document}: the block of section 0x05 is not the script that this "
            "project reproduces: its SHA-256 is another; see original/README.md"
        )
    path = (flags.output or flags.runs).resolve()
    for written in (path,) if flags.output is None else recordings.trace_paths(path):
        recordings.refuse_unwritable(written)
    tf = tensorflow()
    import numpy as np

    origin = {
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "document_sha256": found.document_sha256,
        "script_sha256": found.sha256,
    }
    if flags.runs is not None and recordings.holds(recordings.load_runs(path, origin), flags.seed):
        print(f"{flags.runs} holds a run with seed {flags.seed} already.")
        return
    text = found.text if flags.seed is None else script.seeded(found.text, flags.seed)
    with mnist_at_hand():
        observed = observe(text, tf, flags.epochs, trace=flags.output is not None)
    if flags.output is not None:
        recordings.write(recordings.trace_files(path, flags.seed, origin, observed))
    else:
        recordings.append_run(path, flags.seed, origin, observed.curve)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(message)


def _flags(arguments: list[str] | None) -> argparse.Namespace:
    """Return the flags. Raises UsageError."""
    parser = _Parser(
        prog="record.py",
        description="Record what the document's script does under TensorFlow 1.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--document", type=Path, required=True, help="the document, a Markdown file"
    )
    parser.add_argument(
        "--seed",
        type=_whole_number(0, 2**32 - 1),
        help="seed of TensorFlow and NumPy; without it nothing is added to the script",
    )
    parser.add_argument(
        "--output", type=Path, help="NPZ file of a trace to write, and a JSON file beside it"
    )
    parser.add_argument(
        "--epochs",
        type=_whole_number(1, script.ITERATIONS),
        help=f"how many of the script's {script.ITERATIONS} iterations a trace covers (default: 1)",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        help="JSON file to append a complete run's accuracies to; a seed that it holds is not "
        "run again",
    )
    flags = parser.parse_args(arguments)
    if (flags.output is None) == (flags.runs is None):
        raise UsageError("give either --output for a trace or --runs for a complete run")
    if flags.runs is not None and flags.epochs is not None:
        raise UsageError("--epochs is for --output: --runs takes complete runs")
    if flags.output is not None and flags.output.suffix != ".npz":
        raise UsageError(f"--output={flags.output} must end in .npz")
    if flags.output is not None and flags.seed is None:
        raise UsageError("--output needs --seed: a trace is replayed in the order of its seed")
    flags.epochs = script.ITERATIONS if flags.runs is not None else flags.epochs or 1
    return flags


def _whole_number(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]+", text) or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {lowest} to {highest}"
            )
        return int(text)

    return parse


def tensorflow() -> Any:
    """Import TensorFlow 1 for the CPU, without its messages. Raises UsageError."""
    if sys.version_info[:2] != (3, 7):
        raise UsageError(
            f"this is Python {sys.version.split()[0]}, and the script needs 3.7: "
            "see original/README.md"
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    warnings.simplefilter("ignore", FutureWarning)  # of TensorFlow 1 under this NumPy
    try:
        import tensorflow as tf
    except (ImportError, TypeError) as error:  # TypeError under a later protobuf
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"TensorFlow 1 cannot be imported ({reason}): install original/requirements.txt"
        ) from error
    if re.match(r"1\.1[345]\.", tf.__version__) is None:
        raise UsageError(
            f"this is TensorFlow {tf.__version__}, and the script needs 1.13 to 1.15: "
            "install original/requirements.txt"
        )
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    return tf


@contextlib.contextmanager
def mnist_at_hand() -> Iterator[None]:
    """Work in a temporary folder in which the script finds our archives. Raises RecorderError."""
    try:
        table = (ARCHIVES / "README.md").read_text(encoding="utf-8")
        for name in _ARCHIVE_NAMES:
            digest = hashlib.sha256((ARCHIVES / name).read_bytes()).hexdigest()
            if re.search(rf"^\| {name} \|.* {digest} \|$", table, re.MULTILINE) is None:
                raise RecorderError(f"{ARCHIVES / name} has not the SHA-256 of the README.md there")
    except OSError as error:
        raise RecorderError(f"MNIST's archives cannot be read: {error}") from error
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data").symlink_to(ARCHIVES)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


if __name__ == "__main__":
    sys.exit(main())
