import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_mnist import config, data, training
from lstm_mnist.results import Epoch, EpochDynamics, Score
from lstm_mnist.studies import calibration, gate, pooling, protocol, records
from lstm_mnist.system.errors import DataError, UsageError


def run(
    seed: int,
    *test: int,
    held_out: tuple[int, ...] | None = None,
    variant: str = "original",
    **changes: Any,
) -> records.Record:
    """A run of one epoch for each number of correct test images."""
    epochs = tuple(
        Epoch(
            number=number,
            training_loss=0.3,
            train=Score(54_000, 55_000, 0.2),
            validation=Score(held, 5_000, 0.1),
            test=Score(right, 10_000, 0.15),
        )
        for number, (right, held) in enumerate(
            zip(test, held_out or [4_900] * len(test), strict=True), 1
        )
    )
    return records.Record(
        config=config.variant(variant, seed=seed, epochs=len(test), **changes),
        epochs=epochs,
        folder=f"original-seed{seed}",
        sha256=f"{seed:064x}",
        seconds=90.0,
        arithmetic="compiled-1",
        versions={"tensorflow": "2.21.0"},
        device={"kind": "CPU", "name": "of the test", "cores": 2},
        data_sha256=data.SPLIT_SHA256,
        git=None,
        program_sha256="0" * 64,
    )


def test_best_is_chosen_by_held_out_images_alone() -> None:
    chosen = run(0, 9_800, 9_900, 9_700, held_out=(4_950, 4_940, 4_950)).best
    assert chosen.test.correct == 9_800


def test_best_run_is_chosen_by_held_out_images() -> None:
    ours, other = run(0, 9_800, held_out=(4_950,)), run(1, 9_900, held_out=(4_940,))
    assert records.best([other, ours]) is ours


def test_median_of_runs_is_judged() -> None:
    runs = [run(seed, right) for seed, right in enumerate((9_700, 9_830, 9_900))]
    assert gate.Gate(min_test_accuracy=98.3).failures_of_median("x", runs) == []
    (told,) = gate.Gate(min_test_accuracy=98.31).failures_of_median("x", runs)
    assert told.startswith("x, median of 3 runs: test accuracy 9830 of 10000")
    (told,) = gate.Gate(min_test_accuracy=98.0).failures_of_median("x", runs[::2])
    assert "9700 of 10000" in told  # of two, the lower one


@pytest.mark.parametrize("right", [9_951, 10_000])
def test_no_run_of_a_study_may_be_too_good_to_be_true(right: int) -> None:
    runs = [run(0, 9_800), run(1, 9_810), run(2, right)]
    (told,) = gate.Gate().failures_of_median("x", runs)
    assert told.startswith(f"x, best of 3 runs: test accuracy {right} of 10000")
    assert "too good to be true" in told
    assert gate.Gate().failures_of_median("x", [*runs[:2], run(2, 9_950)]) == []


def test_collapse_is_a_fall_of_two_points() -> None:
    assert run(0, 9_860, 9_660).collapsed
    assert not run(0, 9_860, 9_661).collapsed
    assert not run(0, 9_860, 9_000, 9_800).collapsed


def test_study_file_keeps_everything(tmp_path: Path) -> None:
    runs = [run(0, 9_800, 9_827), run(1, 9_850, 5_000)]
    records.write(tmp_path / "study.json", runs)
    assert records.read([tmp_path / "study.json"]) == runs


def test_what_is_not_a_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text(json.dumps({"runs": []}))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{}")
    for name, message in (
        ("none", "none holds no finished run"),
        ("broken", "broken/result.json is not what a finished run leaves: it lacks best_by_val"),
        ("file.json", "file.json is not a study file: it lacks epoch_columns"),
    ):
        with pytest.raises(DataError, match=message):
            records.read([tmp_path / name])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (run(1, 9_800, units=64), "differ in units"),
        (dataclasses.replace(run(1, 9_800), data_sha256={"train": "x"}), "differ in data"),
        (dataclasses.replace(run(1, 9_800), arithmetic="keras-1"), "differ in arithmetic"),
        (
            dataclasses.replace(run(1, 9_800), device={"kind": "GPU", "name": "x", "cores": 2}),
            "differ in device",
        ),
        (run(1, 9_800), "original-seed0 and original-seed1 came to the same in every epoch"),
        (run(0, 9_800), "seed 0 is there twice"),
    ],
)
def test_unlike_runs_are_not_pooled(other: records.Record, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pooling.pooled([run(0, 9_800), other])


def test_compiled_kernel_does_not_compute_on_a_gpu(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    records.write(path, [run(0, 9_800)])
    study = json.loads(path.read_text())
    study["runs"][0]["device"]["kind"] = "GPU"
    path.write_text(json.dumps(study))
    with pytest.raises(DataError, match="arithmetic compiled-1 is that of CPUs"):
        records.read([path])


@pytest.mark.parametrize(
    ("kernel", "arithmetic"),
    [
        ("keras", "compiled-1"),
        ("fast", "compiled-1"),
        ("auto", "earlier"),
        ("auto", "compiled-0"),
        ("auto", "compiled-1 "),
        ("auto", "compiled-1-"),
        ("auto", "compiled-1-aarch64-x"),
        ("keras", "keras-1-unfused"),
    ],
)
def test_arithmetic_that_a_kernel_cannot_come_to(
    kernel: str, arithmetic: str, tmp_path: Path
) -> None:
    forged = dataclasses.replace(run(0, 9_800, kernel=kernel), arithmetic=arithmetic)
    records.write(tmp_path / "study.json", [forged])
    with pytest.raises(DataError, match=f"arithmetic '{arithmetic}' is none of kernel {kernel}"):
        records.read([tmp_path / "study.json"])


def test_pooled_by_variant_and_seed() -> None:
    runs = [run(2, 9_800), run(0, 9_700, variant="document"), run(1, 9_801)]
    groups = pooling.pooled(runs)
    assert {name: [one.config.seed for one in group] for name, group in groups.items()} == {
        "original": [1, 2],
        "document": [0],
    }


def test_files_of_earlier_settings_are_read_as_before(tmp_path: Path) -> None:
    """A file lacks the settings that came after it, and calls custom what had no name yet."""
    named = [run(0, 9_800), run(1, 9_801, variant="original_cosine")]
    path = tmp_path / "study.json"
    records.write(path, named)
    study = json.loads(path.read_text())
    for one in study["runs"]:
        del one["config"]["clip_norm"]
    study["runs"][1]["config"]["variant"] = "custom"
    path.write_text(json.dumps(study))
    assert records.read([path]) == named
    for one in study["runs"]:
        for name in ("network", "cell", "bidirectional", "layers", "context", "blanks"):
            del one["config"][name]
    path.write_text(json.dumps(study))
    assert records.read([path]) == named


def test_runs_are_found_at_any_depth(tmp_path: Path) -> None:
    for place in ("one/result.json", "study/two/history.csv", "study/three/checkpoints/a.npz"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text("")
    (tmp_path / "study" / ".four").mkdir()
    (tmp_path / "study" / ".four" / "config.json").write_text("")  # as another process makes it
    (tmp_path.parent / "five").mkdir()
    (tmp_path.parent / "five" / "result.json").write_text("")
    (tmp_path / "study" / "five").symlink_to(tmp_path.parent / "five")
    (tmp_path / "study" / "all").symlink_to(tmp_path)
    found = [str(folder.relative_to(tmp_path)) for folder in records.folders(tmp_path)]
    assert found == ["one", "study/five", "study/three", "study/two"]


def test_committed_runs_keep_their_settings() -> None:
    for path in {*records.COMMITTED.glob("*.json")} - {calibration.COMMITTED}:
        for one, kept in zip(
            records.read([path]), json.loads(path.read_text())["runs"], strict=True
        ):
            settings = one.config.as_dict()
            assert settings | kept["config"] == settings
            assert one.config.clip_norm == 0 or "clip_norm" in kept["config"]


def dynamics(epochs: int) -> tuple[EpochDynamics, ...]:
    return tuple(
        EpochDynamics(epoch, 0.1, None, 0.01 * epoch, 0.2, 0.3, 9.5, 20.0, 10.0)
        for epoch in range(1, epochs + 1)
    )


def test_study_file_keeps_dynamics_and_runs_that_have_diverged(tmp_path: Path) -> None:
    sound = dataclasses.replace(run(0, 9_800, 9_827, 9_810), dynamics=dynamics(3))
    records.write(tmp_path / "sound.json", [sound])
    assert records.read([tmp_path / "sound.json"]) == [sound]

    study = json.loads((tmp_path / "sound.json").read_text())
    study["runs"][0] |= {"diverged": "seed 0 has diverged in epoch 3: the loss is not finite"}
    for key in ("epochs", "dynamics"):
        del study["runs"][0][key][2:]
    (tmp_path / "diverged.json").write_text(json.dumps(study))
    with pytest.raises(DataError, match="original-seed0 is not finished: seed 0 has diverged in"):
        records.read([tmp_path / "diverged.json"])
    (diverged,) = records.read([tmp_path / "diverged.json"], diverged=True)
    assert diverged.test_curve == [98.0, 98.27, 9.8]
    assert diverged.best is diverged.final
    assert diverged.collapsed
    records.write(tmp_path / "again.json", [diverged])
    assert json.loads((tmp_path / "again.json").read_text()) == study


def test_runs_that_diverge_at_once_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    records.write(path, [run(0, 9_800, 9_827), run(1, 9_801, 9_828)])
    study = json.loads(path.read_text())
    for one in study["runs"]:
        seed = one["config"]["seed"]
        told = f"seed {seed} has diverged in epoch 1: the loss is not finite"
        one |= {"diverged": told, "epochs": []}
    path.write_text(json.dumps(study))
    assert [one.config.seed for one in records.read([path], diverged=True)] == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"diverged": "seed 0 has diverged in epoch 4: x"}, "3 of 3 epochs"),
        (
            {"diverged": "seed 0 has diverged in epoch 3: x", "epochs": []},
            "0 epochs, where it says 'seed 0",
        ),
        ({"diverged": "some time", "epochs": []}, "0 epochs, where it says 'some time'"),
        ({"diverged": True}, "'diverged' is True, not str"),
        ({"diverged": ""}, "why it has diverged is not told"),
        ({"dynamics": []}, "dynamics are not of each epoch"),
        ({"dynamics": [[1, 0.1]] * 3}, "has 2 items, not 9"),
    ],
)
def test_forged_ends_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    records.write(path, [run(0, 9_800, 9_827, 9_810)])
    study = json.loads(path.read_text())
    study["runs"][0] |= change
    path.write_text(json.dumps(study))
    with pytest.raises(DataError, match=message):
        records.read([path], diverged=True)


def test_a_network_that_names_every_image_0(dataset: data.Dataset) -> None:
    """The counts that stand in for a network whose logits are not numbers."""
    logits = np.full((10_000, 10), np.nan, np.float32)
    with np.errstate(invalid="ignore"):
        assert training.score(logits, dataset.test.labels).percent == protocol.ALL_NAMED_0
    for split, examples in dataset._asdict().items():
        zeros = int(np.sum(examples.labels == 0))
        assert records._ALL_NAMED_0[split].correct == zeros
