"""docs/api.md: what a notebook or a test imports from `lstm_mnist`."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ROOT, completed

import lstm_mnist
from lstm_mnist import UserError

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
TRAINING, VERIFYING = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", [TRAINING, pytest.param(VERIFYING, marks=pytest.mark.slow)])
def test_example_runs(example: str, data_dir: Path, tmp_path: Path) -> None:
    done = completed(data_dir, tmp_path, sys.executable, "-c", example)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "cos"}, "schedule is none of constant, cosine"),
        ({"context": 40}, "context is not from 1 to 28"),
        ({"learning_rate": -1.0}, "learning_rate is not from"),
        ({"epsilon": 1e-50}, "epsilon is 1e-50, which float32 cannot hold"),
        ({"bidirectional": "no"}, "bidirectional is 'no', not bool"),
        ({"units": 8.0}, "units is 8.0, not int"),
        ({"seed": None}, "seed is None, not int"),
    ],
    ids=str,
)
def test_setting_that_is_none(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        lstm_mnist.Config(**settings)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lstm_mnist.variant("nope"), "there is no variant nope; there are: original"),
        (lambda: lstm_mnist.start("GPU"), "there is no device GPU; there are: auto, cpu, gpu"),
        (lambda: lstm_mnist.start(kernel="foo"), "there is no kernel foo; there are: auto"),
        (lambda: lstm_mnist.load("gs://bucket/x"), "it is no folder of this machine"),
        (lambda: lstm_mnist.load("~nobody-of-this-name/x"), "in the home of nobody known here"),
        (lambda: lstm_mnist.read("none"), "none holds no finished run"),
        (lambda: lstm_mnist.load_model("none"), "none is not a model of this project"),
        (lambda: lstm_mnist.Gate(min_test_accuracy=0.98), "write 98 for 98 %"),
    ],
)
def test_argument_that_is_none(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("first", "started"),
    [("keras", False), pytest.param("lstm_mnist", True, marks=pytest.mark.slow)],
)
def test_start_comes_before_tensorflow(first: str, started: bool, tmp_path: Path) -> None:
    """Only then are the settings heard that decide the compiled kernel's arithmetic."""
    example = f"import {first}; from lstm_mnist import start; start(); start()"
    done = completed(tmp_path, tmp_path, sys.executable, "-c", example)
    assert (done.returncode == 0) == started, done.stderr
    assert ("UsageError: TensorFlow was imported before" in done.stderr) != started


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((28, 28), np.float32), "have the shape"),
        (np.zeros((0, 28, 28), np.float32), "have the shape"),
        (np.zeros((2, 28, 28), np.int64), "are of int64: make them uint8"),
        (np.full((2, 28, 28), 255.0), "are not from 0 to 1"),
        (np.full((2, 28, 28), np.nan), "are not from 0 to 1"),
    ],
    ids=["one image", "no image", "whole numbers", "not scaled", "no numbers"],
)
def test_images_that_are_none(images: np.ndarray, message: str) -> None:
    model = lstm_mnist.build(lstm_mnist.Config(units=2))
    with pytest.raises(UserError, match=message):
        lstm_mnist.predict(model, images)


@pytest.mark.parametrize("name", lstm_mnist.__all__)
def test_name_is_there_and_documented(name: str) -> None:
    assert getattr(lstm_mnist, name).__name__ == name
    assert re.search(rf"`{name}\b", PAGE)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lstm_mnist.nothing
