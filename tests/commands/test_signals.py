import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from helpers import ROOT, SMALL_STUDY, completed, started, training_workers, wait_for

from lstm_mnist.system import signals

# Locks a mutex twice: a call into native code that never returns, and in which Python calls no
# handlers. The argument is how long the program is given to end by itself.
BUSY = """
import ctypes, sys
from lstm_mnist.system import signals
signals.PATIENCE = float(sys.argv[1])
lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(64)
signals.install()
with signals.raising():
    lock(mutex)
    print("ready", flush=True)
    lock(mutex)
"""
FOREVER = 10**6  # seconds


@contextlib.contextmanager
def busy(patience: float, redirection: str = "") -> Iterator[subprocess.Popen[str]]:
    """A program in a call that never returns."""
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$@" {redirection}', "", sys.executable, "-c", BUSY, str(patience)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(1)  # now it is in native code
        yield process
    finally:
        process.kill()
        process.communicate()


def insist(process: subprocess.Popen[str], number: int) -> int:
    """Send a signal every second until the process ends, and return its code.

    Two signals count as one where the program's thread is late to see the first.
    """
    for _ in range(60):
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(1)
    raise AssertionError("it goes on")


def test_busy_program_ends_at_a_second_signal() -> None:
    with busy(FOREVER) as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # twice at once is once
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2 * signals.TWICE)
        insist(process, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "lstm_mnist: interrupted at once\n"


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2> >(true)"])
def test_busy_program_ends_where_nobody_can_be_told(redirection: str) -> None:
    with busy(FOREVER, redirection) as process:
        assert insist(process, signal.SIGTERM) == 143


def test_busy_program_ends_when_it_was_given_time_enough() -> None:
    assert signals.PATIENCE < 10  # when `docker stop` kills
    with busy(1) as process:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors == "lstm_mnist: terminated at once\n"


def test_exit_code_is_the_signals_wherever_it_comes(tmp_path: Path) -> None:
    # Modules that define dataclasses execute strings while they are imported.
    (tmp_path / "signalled.py").write_text(
        "import os, signal, sys, lstm_mnist.__main__ as program\n"
        "program._run = lambda _: exec('os.kill(os.getpid(), signal.SIGTERM); signal.pause()')\n"
        "sys.exit(program.main([]))\n"
    )
    done = completed(tmp_path, tmp_path, sys.executable, "-m", "signalled")
    assert (done.returncode, done.stderr) == (143, "lstm_mnist: terminated\n")


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
    arguments = ("compare", "--runs=1", "--study_dir=study", *SMALL_STUDY[:-1], "--epochs=500")
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
