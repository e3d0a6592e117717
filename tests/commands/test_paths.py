"""Paths that the system refuses: one line before TensorFlow is imported, in every command."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers import ROOT, in_namespace, without_tensorflow

from lstm_mnist.system import files
from lstm_mnist.system.errors import OutputError

# Every flag and argument that names a file or a folder, and the exit code where it is refused.
NAMED = [
    (["--output_dir={}"], 7),
    (["--resume={}"], 2),
    (["--data_dir={}"], 2),
    (["verify", "--trace={}"], 2),
    (["compare", "--runs=1", "--study_dir={}"], 7),
    (["compare", "--from={}"], 3),
    (["compare", "--from=run", "--save={}"], 7),
    (["compare", "--from=run", "--report={}"], 7),
    (["check", "{}"], 3),
    (["gate", "--against={}"], 3),
    (["gate", "--junit={}"], 7),
    (["gate", "--calibrate", "--runs=10", "--save={}"], 7),
    (["gate", "--calibrate", "--runs=10", "--save=a.json", "--study_dir={}"], 7),
    (["predict", "a.png", "--model={}"], 2),
    (["predict", "a.png", "--show={}"], 7),
    (["predict", "{}"], 2),
    (["serve", "--model={}"], 2),
    (["export", "--model={}"], 2),
    (["export", "--output={}"], 7),
]
DATA_DIR = """
from absl import flags
from lstm_mnist.commands import common
flags.FLAGS(["train"])
common.data_dir()
import pathlib, tensorflow_datasets as tfds
print(pathlib.Path(tfds.core.constants.DATA_DIR).expanduser())
"""
# The same check stands behind those of one command.
SOME = {"--output_dir={}", "verify --trace={}", "compare --from=run --save={}", "check {}"}
NAMED_PARAMETERS = [
    pytest.param(
        *each, id=" ".join(each[0]), marks=() if " ".join(each[0]) in SOME else pytest.mark.slow
    )
    for each in NAMED
]


def refused(finished: subprocess.CompletedProcess[str], code: int, reason: str) -> None:
    assert finished.returncode == code, finished.stderr
    assert finished.stdout == ""
    assert reason in finished.stderr
    assert finished.stderr.startswith("lstm_mnist: ")
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize(("arguments", "code"), NAMED_PARAMETERS)
def test_name_that_is_too_long(tmp_path: Path, arguments: Sequence[str], code: int) -> None:
    name = f"folder/{'n' * 256}/run"
    (tmp_path / "folder").mkdir()
    finished = without_tensorflow(tmp_path, *(word.format(name) for word in arguments))
    refused(finished, code, "File name too long")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_folder_that_must_not_be_entered(tmp_path: Path) -> None:
    """Root may enter any folder: an ordinary user tries."""
    (tmp_path / "closed" / "inner").mkdir(parents=True)
    (tmp_path / "closed").chmod(0)
    script = """
        python=$1; shift
        anyone="unshare --user --map-user=12345 env -i PYTHONPATH=$PYTHONPATH"
        $anyone $python - "$@" <<'END'
import subprocess, sys
for line in sys.argv[1:]:
    words = line.split()
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lstm_mnist", *words],
        capture_output=True, text=True,
    )
    told = [said for said in finished.stderr.splitlines() if not said.startswith("import time:")]
    late = " tensorflow\\n" in finished.stderr
    print(finished.returncode, len(told), late, told[-1], sep="|")
END
    """
    named = [*NAMED, (["check", "."], 3)]  # a folder below could hold a run
    lines = [" ".join(arguments).format("closed/inner/run") for arguments, _ in named]
    try:
        finished = in_namespace(script, tmp_path, tmp_path, *lines)
    finally:
        (tmp_path / "closed").chmod(0o700)
    told = finished.stdout.splitlines()
    assert len(told) == len(named), finished.stderr
    for line, (arguments, code) in zip(told, named, strict=True):
        assert line.startswith(f"{code}|1|False|lstm_mnist: "), line
        assert ("./closed" if "." in arguments else "closed/inner/run") in line
        assert "Permission denied" in line


@pytest.mark.parametrize("flag", ["--output_dir", "--data_dir", "--resume"])
def test_name_that_is_not_utf8(tmp_path: Path, flag: str) -> None:
    finished = subprocess.run(
        [sys.executable.encode(), b"-m", b"lstm_mnist", flag.encode() + b"=out\xff"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    code = 7 if flag == "--output_dir" else 2
    refused(finished, code, rf"{flag}=out\udcff: its name is not UTF-8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "code"), NAMED_PARAMETERS)
def test_named_pipe_in_place_of_a_file(tmp_path: Path, arguments: Sequence[str], code: int) -> None:
    """To read or to write it would wait for ever for another process."""
    pipe = tmp_path / "pipe.npz"
    os.mkfifo(pipe)
    finished = without_tensorflow(tmp_path, *(word.format("pipe.npz") for word in arguments))
    refused(finished, code, "pipe.npz")
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "{}"], 3),
        (["compare", "--from={}"], 3),
        (["gate", "--against={}"], 3),
        (["predict", "{}"], 2),
    ],
)
def test_file_that_no_memory_holds(tmp_path: Path, arguments: Sequence[str], code: int) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2 * 10**12)  # it takes no room on the disk
    finished = without_tensorflow(tmp_path, *(word.format("huge") for word in arguments))
    refused(finished, code, "huge")
    assert "it has 2,000,000,000,000 bytes, and 1,000,000,000 is the limit" in finished.stderr


def test_lock_where_no_file_can_be_made() -> None:
    with (
        pytest.raises(OutputError, match="the data cannot be written: No such file"),
        files.locked(Path("/proc/.lock"), "the data", wait=True),
    ):
        pass


def test_file_system_that_synchronises_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_text(tmp_path / "file", "written")
    assert (tmp_path / "file").read_text() == "written"


def test_working_folder_that_was_deleted(tmp_path: Path) -> None:
    script = f"rmdir {tmp_path}/gone; exec {sys.executable} -m lstm_mnist check run"
    (tmp_path / "gone").mkdir()
    finished = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path / "gone",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    refused(finished, 2, "the working folder no longer exists")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [*NAMED_PARAMETERS, (["compare", "--runs=1", "--scheduler={}"], 2)],
)
def test_empty_path_as_an_unset_variable_leaves_it(
    tmp_path: Path, arguments: Sequence[str], code: int
) -> None:
    finished = without_tensorflow(tmp_path, *(word.format("") for word in arguments))
    (flag,) = (word.partition("=")[0] for word in arguments if "{}" in word)
    refused(finished, 2, "" if flag == "{}" else flag)
    assert list(tmp_path.iterdir()) == []


def test_empty_place_of_the_data_is_none(tmp_path: Path) -> None:
    """TFDS would take an empty variable for the current folder."""
    finished = subprocess.run(
        [sys.executable, "-c", DATA_DIR],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TFDS_DATA_DIR": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == f"{tmp_path}/tensorflow_datasets\n"


@pytest.mark.parametrize("place", ["gs://bucket/data", "~nobody-of-this-name/data"])
@pytest.mark.parametrize("where", ["argument", "variable"])
def test_place_of_the_data_that_is_no_folder_of_this_machine(
    tmp_path: Path, where: str, place: str
) -> None:
    if where == "argument":
        finished = without_tensorflow(tmp_path, f"--data_dir={place}")
    else:
        finished = without_tensorflow(tmp_path, TFDS_DATA_DIR=place)
    refused(finished, 2, f"={place}: it is ")
    # It does not matter where the flag names another place.
    ignored = without_tensorflow(tmp_path, "--data_dir=data", "--resume=none", TFDS_DATA_DIR=place)
    refused(ignored, 2, "--resume=none is not a folder")


@pytest.mark.parametrize(
    "flags",
    [
        ["compare", "--from=study.json", "--report=study.json"],
        ["compare", "--from=other.json", "study.json", "--report=study.json"],
        ["compare", "--from=other.json", "--save=new.json", "--report=new.json"],
        ["compare", "--runs=1", "--study_dir=.", "--save=report.zh.html"],
        ["compare", "--from=other.json", "--save=new.zh.json", "--report=new.json"],
        ["compare", "--from=study.json", "--save=study.json"],
        ["compare", "--from=other.json", "study.json", "--save=study.json"],
        ["gate", "--against=study.json", "--junit=study.json"],
    ],
    ids=" ".join,
)
def test_file_that_is_named_twice(tmp_path: Path, flags: Sequence[str]) -> None:
    for name in ("study.json", "other.json"):
        (tmp_path / name).write_text("kept")
    refused(without_tensorflow(tmp_path, *flags), 2, "is named by another flag, too")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"kept"}


@pytest.mark.parametrize("flag", ["--save=run/result.json", "--report=run/history.csv"])
def test_files_of_a_run_are_not_replaced(tmp_path: Path, flag: str) -> None:
    (tmp_path / "run").mkdir()
    for name in ("result.json", "history.csv"):
        (tmp_path / "run" / name).write_text("kept")
    refused(without_tensorflow(tmp_path, "compare", "--from=run", flag), 2, "is a run's: name")
    assert {path.read_text() for path in (tmp_path / "run").iterdir()} == {"kept"}


def test_link_to_a_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.json").symlink_to("folder/file.json")
    files.write_text(tmp_path / "link.json", "written")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "folder" / "file.json").read_text() == "written"
    assert len(list((tmp_path / "folder").iterdir())) == 1


def test_name_as_long_as_the_system_takes(tmp_path: Path) -> None:
    for suffix in (".npz", f".{'b' * 240}"):
        path = tmp_path / f"{'a' * (files.MAX_NAME - len(suffix))}{suffix}"
        files.write_text(path, "written")
        assert path.read_text() == "written"


def test_folder_named_like_a_temporary_file(tmp_path: Path) -> None:
    folder = tmp_path / "out" / f".{'0' * 32}-config.json"
    folder.mkdir(parents=True)
    (folder / "file").write_text("kept")
    refused(without_tensorflow(tmp_path, "--output_dir=out"), 7, "--output_dir=out is not empty")
    assert (folder / "file").read_text() == "kept"


@pytest.mark.parametrize("name", ["result.json", "config.json", "study.json", "trace.json"])
def test_json_that_is_nested_too_deeply(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / name).write_text("[" * 100_000)
    (run / "trace.npz").write_bytes((ROOT / "lstm_mnist/traces/trace_seed_7.npz").read_bytes())
    arguments, code = {
        "result.json": (["check", "run"], 3),
        "config.json": (["--resume=run"], 4),
        "study.json": (["check", "run/study.json"], 3),
        "trace.json": (["verify", "--trace=run/trace.npz"], 3),
    }[name]
    refused(without_tensorflow(tmp_path, *arguments), code, "nested too deeply")
