import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lstm_mnist import config, data, networks, training, verification
from lstm_mnist.system.errors import DataError

TRACE = verification.load_trace(verification.SHIPPED_TRACE)
ORIGINAL = verification.ORIGINAL


def failures(dataset: data.Dataset, settings: config.Config = ORIGINAL) -> set[str]:
    """Return the quantities that are out of bounds up to the tenth step."""
    failed = set()
    for check in verification.checks(TRACE, dataset, settings):
        if not check.passed:
            failed.add(check.quantity)
        if check.quantity == "losses of the first 10 steps":
            break
    return failed


def test_nothing_fails_up_to_the_tenth_step(dataset: data.Dataset) -> None:
    assert failures(dataset) == set()


@pytest.mark.parametrize("kernel", config.KERNELS)
@pytest.mark.parametrize(
    "path",
    [verification.SHIPPED_TRACE, Path(__file__).parent / "traces" / "trace_seed_3.npz"],
    ids=["shipped", "seed 3"],
)
def test_recorded_traces_are_reproduced(dataset: data.Dataset, path: Path, kernel: str) -> None:
    settings = dataclasses.replace(ORIGINAL, kernel=kernel)
    checks = list(verification.checks(verification.load_trace(path), dataset, settings))
    assert [check for check in checks if not check.passed] == []
    assert len(checks) == 25


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"readout": "hidden"}, "first batch: logits"),
        ({"recurrent_activation": "sigmoid"}, "first batch: final state h"),
        ({"scan": "columns"}, "first batch: final state h"),
        ({"epsilon": 1e-7}, "after step 1: kernel"),
        ({"learning_rate": 0.011}, "after step 1: kernel"),
    ],
    ids=str,
)
def test_another_recipe_fails(dataset: data.Dataset, changes: dict[str, Any], first: str) -> None:
    failed = failures(dataset, dataclasses.replace(ORIGINAL, **changes))
    assert first in failed
    assert "losses of the first 10 steps" in failed


def test_hard_sigmoid_of_keras_3_fails(
    dataset: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(networks.GATE_ACTIVATIONS, "hard_sigmoid", keras.activations.hard_sigmoid)
    settings = dataclasses.replace(ORIGINAL, kernel="keras")
    assert "first batch: final state h" in failures(dataset, settings)


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (0, 1, 3, 2), (0, 2, 1, 3)])
def test_swapped_gates_fail(
    dataset: data.Dataset, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    """A network that takes i, f, c, o for another order."""
    set_weights = networks.set_weights

    def swapped(model: keras.Model, values: dict[str, np.ndarray]) -> None:
        def swap(name: str) -> np.ndarray:
            blocks = np.split(values[name], 4, axis=-1)
            return np.concatenate([blocks[index] for index in order], axis=-1)

        lstm = ("kernel", "recurrent_kernel", "bias")
        set_weights(model, {**values, **{name: swap(name) for name in lstm}})

    monkeypatch.setattr(networks, "set_weights", swapped)
    assert "first batch: final state c" in failures(dataset)


def test_shuffled_order_fails(dataset: data.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = training.orders

    def shuffled(settings: config.Config, dataset: data.Dataset) -> object:
        return orders(dataclasses.replace(settings, seed=settings.seed + 1), dataset)

    monkeypatch.setattr(training, "orders", shuffled)
    failed = failures(dataset)
    assert "label order: differing of 6 passes" in failed
    assert "losses of the first 10 steps" in failed


def test_not_a_number_is_out_of_bounds() -> None:
    assert not verification.Check("loss", float("nan"), 1.0).passed


Spoil = Callable[[dict[str, Any], dict[str, Any]], object]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda arrays, _: arrays.pop("after_550/bias"), "lacks after_550/bias"),
        (lambda arrays, _: arrays.pop("loss"), "lacks loss"),
        (lambda arrays, _: arrays.update(loss=arrays["loss"][:500]), "at least 550 steps"),
        (
            lambda arrays, _: arrays.update({"after_1/bias": np.zeros(3)}),
            r"after_1/bias has shape \(3,\)",
        ),
        (lambda _, fields: fields.pop("seed"), "seed"),
        (lambda _, fields: fields.update(label_order_sha256=[]), "label_order_sha256"),
        (
            lambda _, fields: fields["label_order_sha256"].pop(1),
            "the passes must be train, train_evaluation, test_evaluation",
        ),
    ],
)
def test_incomplete_trace_is_refused(tmp_path: Path, spoil: Spoil, message: str) -> None:
    arrays: dict[str, Any] = dict(TRACE.arrays)
    fields = json.loads(verification.SHIPPED_TRACE.with_suffix(".json").read_text())
    spoil(arrays, fields)
    path = tmp_path / "trace.npz"
    np.savez(path, **arrays)
    path.with_suffix(".json").write_text(json.dumps(fields))
    with pytest.raises(DataError, match=message):
        verification.load_trace(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip file"])
def test_unreadable_trace_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trace.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a readable NPZ file"):
        verification.load_trace(path)
