"""`compare --scheduler`: with a real scheduler and workers on 127.0.0.1, and with none."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from helpers import SMALL_STUDY, Command, environment, started, training_workers, wait_for

from lstm_mnist.studies import records


@contextlib.contextmanager
def dask(data_dir: Path, cwd: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `dask`, and end it with what it started."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        cwd=cwd,
        env=environment(data_dir),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        umask=0o027,
    )
    try:
        yield process
    finally:
        children = (
            psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        )
        for each in (*children, process):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()


@contextlib.contextmanager
def scheduler(data_dir: Path, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a scheduler at a free port, and tell its address."""
    place = cwd / "scheduler.json"
    flags = ("--host=127.0.0.1", "--port=0", "--no-dashboard", f"--scheduler-file={place}")
    with dask(data_dir, cwd, "scheduler", *flags) as process:
        wait_for(process, lambda: place.exists() and place.stat().st_size)
        yield process, json.loads(place.read_text())["address"]


def line(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    return process.stderr.readline()


@pytest.mark.slow
def test_scheduler_without_workers_with_one_and_gone(data_dir: Path, tmp_path: Path) -> None:
    study = ("compare", "--runs=1", "--study_dir=study", *SMALL_STUDY)
    with scheduler(data_dir, tmp_path) as (running, address):  # noqa: SIM117  which is used below
        with started(data_dir, tmp_path, *study, f"--scheduler={address}") as compare:
            waiting = f"lstm_mnist: there are no workers at {address} yet: waiting for one\n"
            assert line(compare) == waiting
            flags = ("--nthreads=1", "--no-dashboard", f"--local-directory={tmp_path}/dask")
            with dask(data_dir, tmp_path, "worker", address, *flags):
                output, errors = compare.communicate(timeout=120)
                assert (compare.returncode, errors) == (0, "")
                assert "VERDICT" in output
                folder = tmp_path / "study" / "document-seed0"
                assert records.read_folder(folder).config.units == 8
                assert folder.stat().st_mode & 0o777 == 0o750  # as the worker's umask has it

                longer = (*study[:-1], "--epochs=500", "--study_dir=longer")
                with started(data_dir, tmp_path, *longer, f"--scheduler={address}") as compare:
                    wait_for(compare, lambda: list(tmp_path.glob("longer/.*/history.csv")))
                    running.kill()
                    _, errors = compare.communicate(timeout=120)
    assert compare.returncode == 8
    assert errors == "lstm_mnist: the Dask scheduler has gone away: start it and this again\n"


def test_address_of_no_scheduler(command: Command, data_dir: Path, tmp_path: Path) -> None:
    def refused(address: str) -> str:
        finished = command("compare", "--runs=1", f"--scheduler={address}", *SMALL_STUDY)
        assert finished.returncode == 2, finished.stderr
        told = re.fullmatch(
            r"lstm_mnist: --scheduler=(\S+): no Dask scheduler answers there \((.*)\)\n",
            finished.stderr,
        )
        assert told, finished.stderr
        assert told[1] == address
        return told[2]

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "within 10 s" in refused(f"tcp://127.0.0.1:{port}")
    refused(f"tcp://127.0.0.1:{port}")
    assert "ssl_context" in refused("tls://127.0.0.1:8786")
    assert refused("tcp://127.0.0.1:port")


@pytest.mark.slow
@pytest.mark.parametrize("failures", [1, 3])
def test_worker_that_is_killed_again_and_again(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """As often as Dask allows, by default thrice, its run starts again; then the study ends."""
    if failures != 3:
        monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", str(failures))
    study = ("compare", "--runs=1", "--study_dir=study", *SMALL_STUDY[:-1], "--epochs=500")
    killed: set[int] = set()
    with started(data_dir, tmp_path, *study) as process:
        while len(killed) <= failures:
            (worker,) = training_workers(process, tmp_path / "study")
            if worker.pid in killed:
                continue
            worker.send_signal(signal.SIGKILL)
            killed.add(worker.pid)
            for left in (tmp_path / "study").glob(".*/history.csv"):
                left.unlink()  # the next one's is waited for
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 8
    assert errors == (
        f"lstm_mnist: study/document-seed0: {failures + 1} workers ended while they trained this "
        "run: they may lack memory\n"
    )
    assert [path.name for path in (tmp_path / "study").iterdir()] == [".lock"]
