"""Holds the name of the arithmetic to its bits: where they change, `library.VERSION` has to."""

import functools
import itertools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from lstm_mnist.recurrence import library
from lstm_mnist.studies import calibration

if platform.machine() != "x86_64":
    pytest.skip("recorded on x86-64 only", allow_module_level=True)

# SHA-256 of what `kernel_digest` and `training_digest` compute, by whether sums are fused.
KERNEL = {
    True: "bc81ac4ef92269cb9767dd90c96467633477511ed6a55c753c06d9023c401e95",
    False: "b4b6dfed09c75ec4ec9d706d46da6c6755de3f80b94b22c42ca0d98f0d322dfb",
}
TRAINING = "e2cf04d8a4feb50f04b624ac658b03ebf1d2e2468e4d0d9ccd317c4096749be3"
BUILDS = [
    build
    for build in library.BUILDS["x86_64"]
    if library.path(build).exists() and build.features <= library.processor_features()
]


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_all_builds_are_there() -> None:
    assert [
        build.name for build in library.BUILDS["x86_64"] if not library.path(build).exists()
    ] == []


@pytest.mark.parametrize(
    "build",
    # Of the builds that fuse, by default the one that this processor takes.
    [
        pytest.param(build, marks=[pytest.mark.slow] * (build.fused and build is not BUILDS[0]))
        for build in BUILDS
    ],
    ids=lambda build: build.name,
)
def test_kernel(build: library.Build) -> None:
    assert library.VERSION == 1
    assert computed("kernel", build) == KERNEL[build.fused]


@pytest.mark.parametrize(
    ("machine", "build", "name"),
    [
        ("x86_64", library.Build("v4", frozenset(), True), "compiled-1"),
        ("x86_64", library.Build("v1", frozenset(), False), "compiled-1-unfused"),
        ("aarch64", library.Build("generic", frozenset(), True), "compiled-1-aarch64"),
        ("riscv64", library.Build("generic", frozenset(), False), "compiled-1-unfused-riscv64"),
    ],
)
def test_other_bits_have_other_names(
    machine: str, build: library.Build, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(library, "best", lambda: build)
    assert library.arithmetic("compiled") == name
    assert library.arithmetic("keras") == "keras-1"


@pytest.mark.skipif(not (BUILDS and BUILDS[0].fused), reason="recorded with fused sums only")
@pytest.mark.parametrize("cores", [1, 2])
def test_training(cores: int, data_dir: Path) -> None:
    cores = min(cores, os.cpu_count() or 1)
    assert library.arithmetic("compiled") == "compiled-1"
    assert calibration.read(calibration.COMMITTED).golden.sha256 == TRAINING
    assert computed("training", BUILDS[0], str(cores), data_dir=data_dir) == TRAINING


def computed(what: str, build: library.Build, *arguments: str, data_dir: Path | str = "") -> str:
    """Return a digest from another process: TensorFlow takes a build, and its threads, once."""
    done = subprocess.run(
        [sys.executable, __file__, what, build.name, *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "TFDS_DATA_DIR": str(data_dir),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def kernel_digest() -> str:
    """Compute states, outputs and gradients of all cells at odd sizes."""
    from lstm_mnist.system import runtime

    runtime.start("cpu", "compiled")
    import tensorflow as tf

    from lstm_mnist.recurrence.layers import FastLSTM, FastSimpleRNN

    random = np.random.RandomState(0)  # whose stream NumPy keeps

    def normal(*shape: int) -> Any:
        return tf.constant(random.normal(size=shape), tf.float32)

    def results() -> Iterable[Any]:
        cells = ("sigmoid", "hard_sigmoid", None)
        for cell, units, rows in itertools.product(cells, (7, 100), (1, 100)):
            make = functools.partial(FastLSTM, recurrent_activation=cell) if cell else FastSimpleRNN
            layer = make(units, return_sequences=True)
            inputs, first = (
                normal(rows, 5, 28),
                [normal(rows, units) for _ in range(2 if cell else 1)],
            )
            layer.build(inputs.shape)
            for weight in layer.weights:
                weight.assign(0.3 * normal(*weight.shape))
            with tf.GradientTape() as tape:
                tape.watch([inputs, *first])
                outputs = layer(inputs, initial_state=first, training=True)
                loss = sum(tf.reduce_sum(output * normal(*output.shape)) for output in outputs)
            yield from outputs
            sources = [inputs, *first, *(weight.value for weight in layer.weights)]
            yield from tape.gradient(loss, sources)

    from lstm_mnist.studies import golden

    return golden.digest(results())


def training_digest(cores: int) -> str:
    """Take the first steps of the committed calibration, as gates do."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    from lstm_mnist.system import runtime

    runtime.start("cpu", "compiled")
    from lstm_mnist import data
    from lstm_mnist.studies import golden

    known = calibration.read(calibration.COMMITTED)
    return golden.compute(known.config, data.load()).sha256


if __name__ == "__main__":
    what, name, *rest = sys.argv[1:]
    (chosen,) = (build for build in BUILDS if build.name == name)
    with mock.patch.object(library, "best", return_value=chosen):
        print(kernel_digest() if what == "kernel" else training_digest(int(rest[0])))
