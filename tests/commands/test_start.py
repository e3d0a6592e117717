"""How the program starts and ends: its streams, TensorFlow's start, memory, the last resort."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, environment, in_namespace, without_tensorflow

SMALL = ("--units=4", "--batch_size=1000", "--epochs=1")


def program(
    cwd: Path, *arguments: str, before: str = "", shell: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the program after Python code, or with what a shell adds to the command."""
    script = f"import sys\n{before}\nfrom lstm_mnist.__main__ import main; sys.exit(main())"
    return subprocess.run(
        ["bash", "-c", f'"$@" {shell}', "bash", sys.executable, "-c", script, *arguments],
        cwd=cwd,
        env={**environment(cwd), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def one_line(finished: subprocess.CompletedProcess[str], code: int) -> str:
    assert finished.returncode == code, finished.stderr
    assert finished.stderr.count("\n") == 1
    return finished.stderr.removeprefix("lstm_mnist: ").removesuffix("\n")


def fake_tensorflow(folder: Path, script: str) -> str:
    """Make a package that is imported as TensorFlow, and return the path to find it at."""
    package = folder / "fake" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(script)
    return f"{package.parent}:{ROOT}"


def test_native_death_at_start_is_shown(tmp_path: Path) -> None:
    dying = "import os; os.write(2, b'F0000 no such instruction\\n'); os.abort()"
    path = fake_tensorflow(tmp_path, dying)
    finished = program(tmp_path, "predict", str(ROOT / "docs/three.png"), PYTHONPATH=path)
    assert finished.returncode == -signal.SIGABRT
    assert finished.stderr.startswith("F0000 no such instruction\n")
    assert "lstm_mnist: ended while TensorFlow started; what it said is above\n" in finished.stderr


def test_environment_that_would_change_a_run_is_not_heard(tmp_path: Path) -> None:
    names = {
        "KERAS_MAX_EPOCHS",
        "KERAS_MAX_STEPS_PER_EPOCH",
        "KERAS_NNX_ENABLED",
        "ONEDNN_MAX_CPU_ISA",
        "TF_DETERMINISTIC_OPS",
        "TF_ENABLE_ONEDNN_OPTS",
        "TF_FUNCTION_JIT_COMPILE_DEFAULT",
        "TF_XLA_FLAGS",
    }
    told = f"import os; os.write(2, repr({names!r} & os.environ.keys()).encode())"
    path = fake_tensorflow(tmp_path, f"{told}; raise ImportError")
    variables = dict.fromkeys(names, "0")
    three = str(ROOT / "docs/three.png")
    finished = program(tmp_path, "predict", three, PYTHONPATH=path, **variables)
    assert finished.stderr.startswith("set()"), finished.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("level", "shown"), [("0", True), ("3", False)])
def test_messages_of_tensorflow_are_shown_where_asked_for(
    tmp_path: Path, level: str, shown: bool
) -> None:
    three = str(ROOT / "docs/three.png")
    finished = program(tmp_path, "predict", three, TF_CPP_MIN_LOG_LEVEL=level)
    assert finished.returncode == 0
    assert ("oneDNN" in finished.stderr) == shown
    assert shown or finished.stderr == ""


def test_tensorflow_that_cannot_be_imported(tmp_path: Path) -> None:
    failing = (
        "import os; os.write(2, b'of the loader\\n')\n"
        "try: raise ImportError('libtensorflow_cc.so.2: cannot allocate memory')\n"
        "except ImportError: raise ImportError('Traceback (most recent call last): ...') from None"
    )
    path = fake_tensorflow(tmp_path, failing)
    finished = program(tmp_path, "predict", str(ROOT / "docs/three.png"), PYTHONPATH=path)
    assert finished.returncode == 8
    assert finished.stderr == (
        "of the loader\n"
        "lstm_mnist: TensorFlow does not start: libtensorflow_cc.so.2: cannot allocate memory\n"
    )


@pytest.mark.parametrize("command", [["--output_dir=out"], ["compare", "--runs=2"]])
def test_memory_that_does_not_suffice(tmp_path: Path, command: list[str]) -> None:
    finished = without_tensorflow(tmp_path, *command, "--units=1000000")
    told = one_line(finished, 8)
    assert told.startswith("there is not enough memory: --units=1000000, --batch_size=100 and")
    assert not (tmp_path / "out").exists()


BROKEN = "from lstm_mnist.commands import check\ncheck.main = lambda arguments: {}\n"


def test_memory_that_ends(tmp_path: Path) -> None:
    told = one_line(program(tmp_path, "check", "run", before=BROKEN.format("bytes(2**62)")), 8)
    assert told.startswith("there is not enough memory: take fewer --units")


@pytest.mark.parametrize(
    ("said", "code"), [("OOM when allocating a tensor", 8), ("x; No space left on device", 7)]
)
def test_what_tensorflow_lacks(tmp_path: Path, said: str, code: int) -> None:
    """TensorFlow's error of memory and disks is known by its name."""
    fault = (
        "class ResourceExhaustedError(Exception): pass\n"
        f"def fail():\n    raise ResourceExhaustedError({said!r})\n"
    )
    one_line(program(tmp_path, "check", "run", before=fault + BROKEN.format("fail()")), code)


def test_thread_that_is_not_granted(tmp_path: Path) -> None:
    refused = (
        "import threading\n"
        'def start(thread):\n    raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = start\n"
    )
    told = one_line(program(tmp_path, "check", "run", before=refused), 8)
    assert told == "the machine grants no further thread: raise `ulimit -u`"


def test_error_whose_message_begins_with_blank_lines(tmp_path: Path) -> None:
    raising = 'def fail():\n    raise ImportError("""\n \n damaged \nat length""")\n'
    fault = raising + BROKEN.format("fail()")
    told = one_line(program(tmp_path, "check", "run", before=fault, TMPDIR=str(tmp_path)), 70)
    assert told.startswith("unexpected ImportError: damaged; details: ")


def test_error_without_a_message(tmp_path: Path) -> None:
    fault = BROKEN.format("next(iter(()))")
    told = one_line(program(tmp_path, "check", "run", before=fault, TMPDIR=str(tmp_path)), 70)
    assert told.startswith("unexpected StopIteration: StopIteration; details: ")


def test_last_resort(tmp_path: Path) -> None:
    fault = BROKEN.format("1 / 0")
    told = one_line(program(tmp_path, "check", "run", before=fault, TMPDIR=str(tmp_path)), 70)
    (details,) = tmp_path.glob("lstm_mnist-*.txt")
    assert told == f"unexpected ZeroDivisionError: division by zero; details: {details}"
    text = details.read_text()
    assert "Traceback" in text
    assert "'check', 'run'" in text


def test_last_resort_where_no_file_can_be_written(tmp_path: Path) -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    fault = limit + BROKEN.format("1 / 0")
    finished = program(tmp_path, "check", "run", before=fault, TMPDIR=str(tmp_path))
    assert finished.returncode == 70
    assert "Traceback" in finished.stderr
    assert finished.stderr.endswith(
        "unexpected ZeroDivisionError: division by zero; details: above\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_file_that_nothing_else_told_of(tmp_path: Path) -> None:
    fault = BROKEN.format("open('none/file')")
    told = one_line(program(tmp_path, "check", "run", before=fault), 3)
    assert told == "none/file cannot be read: No such file or directory"


@pytest.mark.parametrize("command", ["--help", "check --help", "predict --help"])
@pytest.mark.parametrize(("shell", "code"), [(">/dev/full", 7), (">&-", 7), ("2>&-", 0)])
def test_streams_that_are_full_or_closed(
    tmp_path: Path, command: str, shell: str, code: int
) -> None:
    finished = program(tmp_path, *command.split(), shell=shell)
    assert finished.returncode == code
    assert finished.stderr.count("\n") == (code != 0)


@pytest.mark.slow
def test_output_that_lacks_a_letter(tmp_path: Path) -> None:
    name = "drei-\N{LATIN SMALL LETTER A WITH DIAERESIS}.png"
    (tmp_path / name).write_bytes((ROOT / "docs/three.png").read_bytes())
    # The other name is in no encoding at all. Standard error is closed as well.
    other = os.fsdecode(b"drei-\xff.png")
    (tmp_path / other).write_bytes((ROOT / "docs/three.png").read_bytes())
    finished = program(
        tmp_path, "predict", name, other, shell="2>&-", PYTHONIOENCODING="ascii", PYTHONUTF8="1"
    )
    assert finished.returncode == 0
    _, first, second = finished.stdout.splitlines()
    assert first.endswith(r"drei-\xe4.png")
    assert second.endswith(r"drei-\udcff.png")
    assert first.split()[0] == second.split()[0] == "3"


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        pytest.param(f"predict {ROOT}/docs/three.png --json", marks=pytest.mark.slow),
        f"check {ROOT}/lstm_mnist/results/stable.json",
        pytest.param("verify --json", marks=pytest.mark.slow),
    ],
    ids=lambda command: command.split()[0],
)
def test_machine_without_any_writable_folder(data_dir: Path, tmp_path: Path, command: str) -> None:
    script = """
        python=$1; shift
        for place in / /tmp /var/tmp /dev/shm "$PWD" "$TFDS_DATA_DIR"; do
            mount --bind $place $place 2>/dev/null
            mount -o remount,bind,ro $place 2>/dev/null
        done
        cd "$PWD"
        for place in / /tmp /var/tmp /dev/shm .; do
            touch $place/probe 2>/dev/null && echo $place can be written
        done
        env -i PYTHONPATH=$PYTHONPATH TFDS_DATA_DIR=$TFDS_DATA_DIR $python -m lstm_mnist "$@"
    """
    finished = in_namespace(script, data_dir, tmp_path, *command.split())
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout
    assert "can be written" not in finished.stdout
