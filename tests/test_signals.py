import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import started, wait_for
from test_compare import SMALL, training_workers

# Locks a mutex twice: a call into native code that never returns, and in which Python calls no
# handlers.
BUSY = """
import ctypes
from lstm_mnist.system import signals
lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(64)
signals.install()
with signals.raising():
    lock(mutex)
    print("ready", flush=True)
    lock(mutex)
"""


@pytest.mark.parametrize(
    ("first", "second", "least", "most", "code", "word"),
    [
        (signal.SIGINT, signal.SIGINT, 1, 5, 130, "interrupted"),
        (signal.SIGTERM, None, 8, 11, 143, "terminated"),
    ],
)
def test_program_that_is_busy_ends_at_a_second_signal_or_after_a_while(
    first: int, second: int | None, least: float, most: float, code: int, word: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    time.sleep(1)  # now it is in native code
    asked = time.monotonic()
    process.send_signal(first)
    process.send_signal(first)  # twice at once is once
    time.sleep(1)
    if second is not None:
        process.send_signal(second)
    _, errors = process.communicate()
    assert least < time.monotonic() - asked < most
    assert process.returncode == code
    assert errors == f"lstm_mnist: {word} at once\n"


def handles_sigterm(process: psutil.Process) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = re.search(r"SigCgt:\s*([0-9a-f]+)", status)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_first_process_of_a_container_is_terminated_while_it_starts(
    data_dir: Path, tmp_path: Path
) -> None:
    namespace = ("unshare", "--user", "--map-root-user", "--pid", "--fork")
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system allows no namespaces")
    with started(data_dir, tmp_path, "--output_dir=out", prefix=namespace) as process:
        unshare = psutil.Process(process.pid)
        wait_for(process, unshare.children)
        (first,) = unshare.children()
        wait_for(process, lambda: handles_sigterm(first))
        first.terminate()
        _, errors = process.communicate()
    assert errors == "lstm_mnist: terminated\n"
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == []


def test_verify_is_terminated(data_dir: Path, tmp_path: Path) -> None:
    with started(data_dir, tmp_path, "verify") as process:
        assert process.stdout
        assert "quantity" in process.stdout.readline()
        process.terminate()
        _, errors = process.communicate()
    assert errors == "lstm_mnist: terminated\n"
    assert process.returncode == 143


def test_compare_leaves_nothing_behind_when_it_is_interrupted(
    data_dir: Path, tmp_path: Path
) -> None:
    arguments = ("compare", "--runs=2", "--study_dir=study", *SMALL[:-1], "--epochs=500")
    # As a terminal does it, the signal goes to all processes.
    with started(data_dir, tmp_path, *arguments, prefix=("setsid",)) as process:
        training_workers(process, tmp_path / "study")
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate()
    assert errors == "lstm_mnist: interrupted\n"
    assert process.returncode == 130
    psutil.wait_procs(children, timeout=30)
    assert not [child for child in children if child.is_running()]
    assert [path.name for path in (tmp_path / "study").iterdir()] == [".lock"]
