import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import epoch_order

from lstm_mnist import data, recording, tensorflow1, verification
from lstm_mnist.recording import Check
from lstm_mnist.system.errors import DataError

FOLDER = Path(__file__).parents[2]
TRACE = recording.load_trace(recording.SHIPPED_TRACE)
ROWS = {1: 80, 2: 91}  # of verifications of traces of so many epochs
SEED_3 = Path(__file__).parent / "traces" / "trace_seed_3.npz"


@pytest.mark.parametrize(
    ("path", "kernel"),
    [
        # By default, the tests of the command `verify` replay both traces with the compiled kernel.
        pytest.param(recording.SHIPPED_TRACE, "compiled", marks=pytest.mark.slow),
        pytest.param(recording.SHIPPED_TRACE, "keras", marks=pytest.mark.slow),
        pytest.param(SEED_3, "compiled", marks=pytest.mark.slow),
        pytest.param(SEED_3, "keras", marks=pytest.mark.slow),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else value,
)
def test_recorded_traces_are_reproduced(dataset: data.Dataset, path: Path, kernel: str) -> None:
    settings = dataclasses.replace(verification.ORIGINAL, kernel=kernel)
    trace = recording.load_trace(path)
    checks = list(verification.checks(trace, dataset, settings))
    assert [check for check in checks if not check.passed] == []
    assert len({check.quantity for check in checks}) == len(checks)
    assert len(checks) == ROWS[trace.epochs]


def test_not_a_number_is_out_of_bounds() -> None:
    assert not Check("loss", 1.0, 1.0, float("nan"), 1.0).passed
    assert not Check.close("loss", [1.0, float("nan")], [1.0, 1.0], 1.0).passed
    assert not Check.close("loss", [1.0, 1.0], [1.0, float("nan")], 1.0, relative=True).passed


def test_other_shapes_are_out_of_bounds() -> None:
    check = Check.close("state", np.zeros(3), np.zeros((3, 1)), 1.0)
    assert not check.passed
    assert (check.ours, check.recorded) == ("(3,)", "(3, 1)")


@pytest.mark.parametrize("settings", [{"a": 1}, {"a": 1, "b": 3}, {"a": 1, "b": 2, "c": None}])
def test_settings_missing_other_and_further_ones_are_told(settings: dict[str, Any]) -> None:
    check = Check.settings("optimizer", settings, {"a": 1, "b": 2})
    assert (check.difference, check.passed) == (1, False)
    (name,) = {"b", "c"} & set(re.findall(r"(\w)=", f"{check.ours} {check.recorded}"))
    assert name == ("c" if "c" in settings else "b")


def test_adam_is_the_algorithm() -> None:
    """Two steps of one weight by hand; epsilon takes 3e-12 off the first."""
    adam = tensorflow1.Adam([np.array([1.0])], 0)
    adam.step([np.array([1e3])])
    assert adam.weights[0] == pytest.approx([1 - 0.01], abs=1e-11)
    adam.step([np.array([0.0])])
    first, second = 0.9 * 0.1 * 1e3, 0.999 * 0.001 * 1e6
    rate = 0.01 * (1 - 0.999**2) ** 0.5 / (1 - 0.9**2)
    assert adam.weights[0] == pytest.approx([0.99 - rate * first / second**0.5], abs=1e-11)


def test_reference_cell_reproduces_the_recording(dataset: data.Dataset) -> None:
    first = epoch_order(7, 0, train_size=55_000, test_size=10_000, batch_size=100).train[:100]
    images = data.scale(dataset.train.pixels[first])
    (h, c), logits = tensorflow1.lstm(TRACE.weights(0), images)
    for name, ours in (("final_state_0", h), ("final_state_1", c), ("logits", logits)):
        assert Check.close(name, ours, TRACE.arrays[f"first_batch/{name}"], 1e-6).passed, name


def test_bounds_are_those_of_the_page() -> None:
    page = (FOLDER / "docs" / "verification.md").read_text(encoding="utf-8")
    table = page.split("| largest difference seen | bound |\n|---|--:|--:|\n")[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()]
    told = {row: [float(bound) for bound in bounds.split(", ")] for row, _, bounds in cells}
    (after_100,) = {*verification.LATE_WEIGHT_BOUNDS[100].values()}
    assert told == {
        "losses of the first 10, 50, 100 steps": [*verification.LOSS_BOUNDS.values()],
        "weights after step 100, root mean square": [after_100],
        **{
            f"`{name}` after step 550, root mean square": [bound]
            for name, bound in verification.LATE_WEIGHT_BOUNDS[550].items()
        },
        **{
            f"losses of steps {first + 1} to {last}, root mean square": [bound]
            for (first, last), bound in verification.LATE_LOSS_BOUNDS.items()
        },
        "mean loss of epoch 1": [verification.MEAN_LOSS_BOUND],
        "mean loss of epoch 2": [verification.SECOND_MEAN_LOSS_BOUND],
        "right after epoch 2, of 55,000 and of 10,000": [*verification.SECOND_CORRECT_BOUNDS],
    }
    flat = " ".join(page.split())

    def short(bound: float) -> str:
        return f"{bound:.0e}".replace("e-0", "e-")

    for sentence in (
        f"{short(verification.STATE_BOUND)} for states, logits and losses",
        f"{short(verification.GRADIENT_BOUND)} for gradients",
        f"the bound is {short(verification.ADAM_BOUND)}",
        "after 1 and 10 steps by {} and {}".format(
            *map(short, verification.WEIGHT_BOUNDS.values())
        ),
    ):
        assert sentence in flat
    assert verification.FORCED_LOSS_BOUND == verification.STATE_BOUND


Spoil = Callable[[dict[str, Any], dict[str, Any]], object]


def _set(name: str, value: Any) -> Spoil:
    return lambda arrays, _: arrays.update({name: value})


def _put(name: str, value: float) -> Spoil:
    def spoil(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name].flat[0] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda arrays, _: arrays.pop("after_550/bias"), "lacks after_550/bias"),
        (lambda arrays, _: arrays.pop("loss"), "lacks loss"),
        (lambda arrays, _: arrays.pop("accuracy_percent"), "lacks accuracy_percent"),
        (lambda arrays, _: arrays.update(loss=arrays["loss"][:500]), r"expected \(1100,\)"),
        (_set("accuracy_percent", np.ones((1, 2))), r"expected \(2, 2\)"),
        (_set("after_1/bias", np.zeros(3)), r"after_1/bias has shape \(3,\)"),
        (_set("after_1/bias", np.full(400, "0.5")), "after_1/bias does not hold finite numbers"),
        (_put("after_10/kernel", np.nan), "after_10/kernel does not hold finite numbers"),
        (_put("loss", np.inf), "loss does not hold finite numbers"),
        (_put("accuracy_percent", 96.6425), "accuracy_percent does not hold accuracies"),
        (_put("accuracy_percent", 200), "accuracy_percent does not hold accuracies"),
        (_put("accuracy_percent", -1), "accuracy_percent does not hold accuracies"),
        (lambda _, fields: fields.pop("seed"), "seed"),
        (lambda _, fields: fields.update(seed=7.9), "seed"),
        (lambda _, fields: fields.update(seed=-1), "seed"),
        (lambda _, fields: fields.update(label_order_sha256=[]), "label_order_sha256"),
        (lambda _, fields: fields["label_order_sha256"][0].__setitem__(1, "ab"), "label_order"),
        (
            lambda _, fields: fields["label_order_sha256"].pop(1),
            "the passes must be train, train_evaluation, test_evaluation",
        ),
    ],
)
def test_incomplete_trace_is_refused(tmp_path: Path, spoil: Spoil, message: str) -> None:
    arrays: dict[str, Any] = dict(TRACE.arrays)
    fields = json.loads(recording.SHIPPED_TRACE.with_suffix(".json").read_text())
    spoil(arrays, fields)
    path = tmp_path / "trace.npz"
    np.savez(path, **arrays)
    path.with_suffix(".json").write_text(json.dumps(fields))
    with pytest.raises(DataError, match=message):
        recording.load_trace(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip file"])
def test_unreadable_trace_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trace.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a readable NPZ file"):
        recording.load_trace(path)
