"""docs/api.md: what a notebook or a test imports from `lstm_mnist`."""

import re
import sys
from pathlib import Path

import pytest
from helpers import ROOT, completed

import lstm_mnist

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
TRAINING, VERIFYING = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", [TRAINING, pytest.param(VERIFYING, marks=pytest.mark.slow)])
def test_example_runs(example: str, data_dir: Path, tmp_path: Path) -> None:
    done = completed(data_dir, tmp_path, sys.executable, "-c", example)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("name", lstm_mnist.__all__)
def test_name_is_there_and_documented(name: str) -> None:
    assert getattr(lstm_mnist, name).__name__ == name
    assert re.search(rf"`{name}\b", PAGE)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lstm_mnist.nothing
