"""Record what the document's script does under TensorFlow 1, on the CPU.

    python original/record.py --document=FILE --seed=7 --epochs=2 --output=trace.npz
    python original/record.py --document=FILE --seed=7 --runs=runs.json

The first records a trace for `python -m lstm_mnist verify --trace=trace.npz`, the second appends
the accuracies of a complete run to a file. See README.md beside this file.

The script is taken out of the document and must have a known SHA-256. Nothing in it is changed.
With a seed, two lines are added: `tf.set_random_seed` after the imports, and `numpy.random.seed`
just before the variables are initialised. It runs in a folder that holds links to our archives of
MNIST. It is observed at two places, where it meets the world:

* `print` is a name that the script looks up, so it gets ours, which prints and listens. The lines
  hold the accuracies in full, and each ends a pass over a split. After the last line of iteration
  K, ours raises an exception: this is how `--epochs` ends the script early.
* `tf.Session.run` gets every batch, and tells training steps from evaluation by what is fetched.
  The script's loss is fetched along with a training step. Before the first step and after some
  others, the initial state, the weights and the gradients are fetched by calls of their own, which
  change nothing. The gradients are the inputs of the optimizer's update operations: calling
  `tf.gradients` again would add operations to the script's loop over the time steps.

A complete run for `--runs` is observed by `print` alone.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple
from unittest import mock

ARCHIVES = Path(__file__).resolve().parents[1] / "lstm_mnist" / "archives"
# The script's text, the same in both versions of the document in its repository, of 2019-09-06 and
# of 2019-12-27.
SCRIPT_SHA256 = "00accfe7ca32cfe4a5213e0a1441fa989500cf9f3024dbc3b467e2813608ec51"
ITERATIONS = 30  # of a complete run
BATCH_SIZE = 100

# The script would download any that it did not find.
_ARCHIVE_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_WEIGHTS_BY_SHAPE = {
    (28, 400): "kernel",
    (100, 400): "recurrent_kernel",
    (400,): "bias",
    (100, 10): "dense_kernel",
    (10,): "dense_bias",
}
_WEIGHT_STEPS = (1, 10, 100, 550)  # after which the weights are recorded
# What the script prints at the end of each pass over a split.
_PASS_ENDS = {
    "train": re.compile(r"=+ Iter \d+ =+"),
    "train_evaluation": re.compile(r"Train set accuracy: (\S+) %"),
    "test_evaluation": re.compile(r"Test set accuracy: (\S+) %"),
}


class RecorderError(Exception):
    """A failure that is reported in one line."""

    exit_code = 3  # a file is missing, unreadable or not what it should be


class UsageError(RecorderError):
    """A flag is wrong, Python or TensorFlow does not fit, or the output cannot be written."""

    exit_code = 2


class Script(NamedTuple):
    """The document's script."""

    text: str
    document_sha256: str
    sha256: str


class Observation(NamedTuple):
    """What a run of the script did."""

    curve: list[tuple[float, float]]  # train and test accuracy in percent after each iteration
    label_order_sha256: list[tuple[str, str]]  # each pass and its labels (uint8), in order
    arrays: dict[str, Any]


def script_of(document: Path) -> Script:
    """Return the fenced Python block of the document's section 0x05.

    Raises RecorderError if the document is unreadable or does not have exactly one such block.
    """
    try:
        content = document.read_bytes()
        text = content.decode("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RecorderError(f"--document={document} cannot be read: {error}") from error
    blocks = [
        block
        for section in re.split(r"^(?=### )", text, flags=re.MULTILINE)
        if section.startswith("### 0x05 ")
        for block in re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    ]
    if len(blocks) != 1:
        raise RecorderError(
            f"--document={document} has {len(blocks)} fenced Python blocks in sections 0x05, not 1"
        )
    return Script(blocks[0], _sha256(content), _sha256(blocks[0].encode("utf-8")))


def seeded(script: str, seed: int) -> str:
    """Return the script with its two sources of randomness seeded, each by a line of its own.

    Raises RecorderError if it has no imports or initialises no variables.
    """
    lines = script.splitlines(keepends=True)
    imports = [n for n, line in enumerate(lines) if re.match(r"(import|from) ", line)]
    starts = [n for n, line in enumerate(lines) if "global_variables_initializer()" in line]
    if not imports or len(starts) != 1 or starts[0] < imports[-1]:
        raise RecorderError("the script does not import, then initialise its variables once")
    first, start = imports[-1] + 1, starts[0]
    indent = re.match(r"\s*", lines[start])[0]  # type: ignore[index]
    return "".join(
        [
            *lines[:first],
            f"tf.set_random_seed({seed})\n",
            *lines[first:start],
            f"{indent}import numpy; numpy.random.seed({seed})\n",
            *lines[start:],
        ]
    )


class _EnoughError(Exception):
    """The script has done as many iterations as were asked for."""


class _Observer:
    """Hears what a script prints and, for a trace, sees what its session runs."""

    def __init__(self, tf: Any, iterations: int) -> None:
        self.names = {"__name__": "__main__", "print": self._print}  # the script's globals
        self.curve: list[tuple[float, float]] = []
        self.passes: list[tuple[str, str]] = []
        self.arrays: dict[str, Any] = {}
        self.losses: list[Any] = []
        self._tf = tf
        self._run: Callable[..., Any] = tf.Session.run
        self._iterations = iterations
        self._labels = hashlib.sha256()
        self._train_accuracy = float("nan")

    def _print(self, *words: object) -> None:
        print(*words, flush=True)
        line = " ".join(map(str, words))
        for name, pattern in _PASS_ENDS.items():
            found = pattern.fullmatch(line)
            if found is None:
                continue
            self.passes.append((name, self._labels.hexdigest()))
            self._labels = hashlib.sha256()
            if name == "train_evaluation":
                self._train_accuracy = float(found[1])
            if name == "test_evaluation":
                self.curve.append((self._train_accuracy, float(found[1])))
                if len(self.curve) == self._iterations:
                    raise _EnoughError

    def session_run(self, session: Any, fetches: Any, feed_dict: Any = None) -> Any:
        """Stand in for `tf.Session.run`."""
        import numpy as np

        if feed_dict is None:
            return self._run(session, fetches)
        labels = np.argmax(feed_dict[self.names["y"]], axis=1).astype(np.uint8)
        self._labels.update(labels.tobytes())
        if fetches is not self.names["train"]:
            return self._run(session, fetches, feed_dict)
        if not self.losses:
            self._record_weights(session, "initial")
            self._record_first_batch(session, feed_dict, labels)
        result, loss = self._run(session, [fetches, self.names["loss"]], feed_dict)
        self.losses.append(loss)
        if len(self.losses) in _WEIGHT_STEPS:
            self._record_weights(session, f"after_{len(self.losses)}")
        return result

    def _record_weights(self, session: Any, group: str) -> None:
        self._record(group, self._run(session, self._tf.trainable_variables()))

    def _record_first_batch(self, session: Any, feed_dict: Any, labels: Any) -> None:
        updates = [
            operation
            for operation in session.graph.get_operations()
            if operation.type in ("ApplyAdam", "ResourceApplyAdam")
        ]
        states, logits, gradients = self._run(
            session,
            [
                self.names["final_state"],
                self.names["prediction"],
                [update.inputs[-1] for update in updates],
            ],
            feed_dict,
        )
        self.arrays["first_batch/images_sum"] = feed_dict[self.names["x"]].sum(axis=1)
        self.arrays["first_batch/labels"] = labels
        for index, state in enumerate(states):
            self.arrays[f"first_batch/final_state_{index}"] = state
        self.arrays["first_batch/logits"] = logits
        self._record("first_batch/gradient", gradients)

    def _record(self, group: str, values: list[Any]) -> None:
        by_name = {_WEIGHTS_BY_SHAPE[value.shape]: value for value in values}
        for name in _WEIGHTS_BY_SHAPE.values():
            self.arrays[f"{group}/{name}"] = by_name[name]


def observe(script: str, tf: Any, iterations: int, trace: bool) -> Observation:
    """Run a script for some of its iterations and return what it did.

    `tf` is the module whose Session the script uses. Without `trace` the arrays and labels are not
    observed. Raises RecorderError if the script ends before that.
    """
    import numpy as np

    observer = _Observer(tf, iterations)
    with contextlib.ExitStack() as stack:
        if trace:

            def run(session: Any, fetches: Any, feed_dict: Any = None) -> Any:
                return observer.session_run(session, fetches, feed_dict)

            stack.enter_context(mock.patch.object(tf.Session, "run", run))
        stack.enter_context(contextlib.suppress(_EnoughError))
        exec(compile(script, "the document's script", "exec"), observer.names)
    if len(observer.curve) != iterations:
        raise RecorderError(f"the script ended after {len(observer.curve)} iterations")
    if not trace:
        return Observation(observer.curve, [], {})
    observer.arrays["loss"] = np.array(observer.losses, dtype=np.float32)
    observer.arrays["accuracy_percent"] = np.array(observer.curve)
    return Observation(observer.curve, observer.passes, observer.arrays)


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
            digest = _sha256((ARCHIVES / name).read_bytes())
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


def write(contents: dict[Path, bytes]) -> None:
    """Write files whole, all of them or none, except after a crash between two renames.

    Raises UsageError where the file system refuses.
    """
    temporary = {path: path.with_name(f".{os.getpid()}-{path.name}") for path in contents}
    try:
        for path, content in contents.items():
            with temporary[path].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in contents:
            temporary[path].replace(path)
            with _opened_folder(path.parent) as folder:
                os.fsync(folder)
    except OSError as error:
        raise UsageError(f"{', '.join(map(str, contents))} cannot be written: {error}") from error
    finally:
        for path in temporary.values():
            with contextlib.suppress(OSError):
                path.unlink()


def refuse_unwritable(path: Path) -> None:
    """Raise UsageError, before anything has run, if `path` cannot be written."""
    if path.is_dir():
        raise UsageError(f"{path} cannot be written: it is a folder")
    try:
        with tempfile.TemporaryFile(dir=str(path.parent)):
            pass
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from error


def trace_files(
    output: Path, seed: int, origin: dict[str, str], observed: Observation
) -> dict[Path, bytes]:
    """Return the two files of a trace: the NPZ file of the arrays and the JSON file beside it."""
    import numpy as np

    npz = io.BytesIO()
    np.savez_compressed(npz, **observed.arrays)
    fields = {
        "seed": seed,
        **origin,
        "batch_size": BATCH_SIZE,
        "iterations": len(observed.curve),
        "label_order_sha256": observed.label_order_sha256,
    }
    text = json.dumps(fields, indent=1) + "\n"
    return dict(zip(_trace_paths(output), (npz.getvalue(), text.encode("utf-8"))))


def load_runs(path: Path, origin: dict[str, str]) -> dict[str, Any]:
    """Return the runs recorded in a file, none if there is no such file.

    Raises RecorderError if it is not a file of runs of the same script, document and versions.
    """
    source = (
        f"the document's script under TensorFlow {origin['tensorflow']}, "
        f"NumPy {origin['numpy']}, CPU"
    )
    columns = ["train accuracy %", "test accuracy %"]
    header = {"source": source, **origin, "columns": columns}
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        seeds = [int(run["seed"]) for run in fields["runs"] if run["seed"] is not None]
        complete = all(len(run["curve"]) == ITERATIONS for run in fields["runs"])
    except FileNotFoundError:
        return {**header, "runs": []}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecorderError(f"--runs={path} is not a file of recorded runs: {error!r}") from error
    for name, value in header.items():
        if fields.get(name) != value:
            raise RecorderError(
                f"--runs={path} has {name} {fields.get(name)!r}, this run {value!r}: "
                "name another file"
            )
    if len(set(seeds)) != len(seeds) or not complete:
        raise RecorderError(f"--runs={path} holds a seed twice or an incomplete run")
    return fields


def append_run(
    path: Path, seed: int | None, origin: dict[str, str], curve: list[tuple[float, float]]
) -> None:
    """Add a complete run to a file of runs, which may have grown meanwhile."""
    with _opened_folder(path.parent) as folder:
        fcntl.flock(folder, fcntl.LOCK_EX)  # until the folder is closed
        fields = load_runs(path, origin)
        if not _holds(fields, seed):
            rounded = [[round(value, 4) for value in point] for point in curve]
            fields["runs"].append({"seed": seed, "curve": rounded})
            write({path: (json.dumps(fields) + "\n").encode("utf-8")})


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
    script = script_of(flags.document)
    if script.sha256 != SCRIPT_SHA256:
        raise RecorderError(
            f"--document={flags.document}: the block of section 0x05 is not the script that this "
            "project reproduces: its SHA-256 is another; see original/README.md"
        )
    path = (flags.output or flags.runs).resolve()
    for written in (path,) if flags.output is None else _trace_paths(path):
        refuse_unwritable(written)
    tf = tensorflow()
    import numpy as np

    origin = {
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "document_sha256": script.document_sha256,
        "script_sha256": script.sha256,
    }
    if flags.runs is not None and _holds(load_runs(path, origin), flags.seed):
        print(f"{flags.runs} holds a run with seed {flags.seed} already.")
        return
    text = script.text if flags.seed is None else seeded(script.text, flags.seed)
    with mnist_at_hand():
        observed = observe(text, tf, flags.epochs, trace=flags.output is not None)
    if flags.output is not None:
        write(trace_files(path, flags.seed, origin, observed))
    else:
        append_run(path, flags.seed, origin, observed.curve)


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
        type=_whole_number(1, ITERATIONS),
        help=f"how many of the script's {ITERATIONS} iterations a trace covers (default: 1)",
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
    flags.epochs = ITERATIONS if flags.runs is not None else flags.epochs or 1
    return flags


def _whole_number(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]+", text) or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {lowest} to {highest}"
            )
        return int(text)

    return parse


def _holds(fields: dict[str, Any], seed: int | None) -> bool:
    """Return whether a file of runs holds a seed's run; runs without a seed all differ."""
    return seed is not None and any(run["seed"] == seed for run in fields["runs"])


@contextlib.contextmanager
def _opened_folder(path: Path) -> Iterator[int]:
    descriptor = os.open(str(path), os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _trace_paths(output: Path) -> tuple[Path, Path]:
    """Return the paths of a trace's NPZ and JSON files."""
    return output, output.with_suffix(".json")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
