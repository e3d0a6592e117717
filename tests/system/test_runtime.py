import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

from lstm_mnist.system import runtime


def state_of(checkout: Path, state: str = "git_state") -> object:
    script = "import json; from lstm_mnist.system import runtime; "
    finished = subprocess.run(
        [sys.executable, "-c", f"{script}print(json.dumps(runtime.{state}()))"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(finished.stdout)


def test_results_do_not_count_as_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        names = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *names, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    ignored = shutil.ignore_patterns("__pycache__", "*.so", "archives", "traces", "model")
    shutil.copytree(ROOT / "lstm_mnist", tmp_path / "lstm_mnist", ignore=ignored)
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    assert state_of(tmp_path) is None
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message=all")
    commit = git("rev-parse", "HEAD")
    assert state_of(tmp_path) == {"commit": commit, "changed": False}
    (tmp_path / "lstm_mnist/results/new.json").write_text("")
    (tmp_path / "lstm_mnist/results/stable.json").write_text("")
    assert state_of(tmp_path) == {"commit": commit, "changed": False}
    git("config", "core.quotepath", "false")
    (tmp_path / "lstm_mnist" / os.fsdecode(b"\xb2\xe2.py")).write_text("")  # as GBK names it
    assert state_of(tmp_path) == {"commit": commit, "changed": True}
    # As where a container's root runs the checkout of another user.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert state_of(tmp_path) == {"commit": commit, "changed": True}


@pytest.mark.parametrize(
    "name", ["networks.py", "recurrence/kernel.h", "new.py", os.fsdecode(b"\xb2\xe2.py")]
)
def test_states_of_the_program_are_told_apart(tmp_path: Path, name: str) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "archives", "traces", "model")
    shutil.copytree(ROOT / "lstm_mnist", tmp_path / "lstm_mnist", ignore=ignored)
    before = state_of(tmp_path, "program_sha256")
    (tmp_path / "lstm_mnist/.#networks.py").symlink_to("nowhere")  # as Emacs has it
    assert state_of(tmp_path, "program_sha256") == before == runtime.program_sha256()
    with (tmp_path / "lstm_mnist" / name).open("a") as file:
        file.write("\n")
    assert state_of(tmp_path, "program_sha256") != before
