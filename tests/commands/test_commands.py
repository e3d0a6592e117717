import csv
import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import ROOT, SMALL_RUN, Command, Trained, run_program, train_once, without_tensorflow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from lstm_mnist import config, data, networks, training
from lstm_mnist.runs import probes


class Custom(NamedTuple):
    """A run and the process that trained it."""

    folder: Path
    finished: subprocess.CompletedProcess[str]


def results(folder: Path) -> tuple[dict, dict, list[dict[str, str]]]:  # type: ignore[type-arg]
    with (folder / "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    return (
        json.loads((folder / "config.json").read_text()),
        json.loads((folder / "result.json").read_text()),
        history,
    )


def test_files_of_a_run(epoch_run: Trained) -> None:
    assert sorted(path.name for path in epoch_run.folder.iterdir()) == [
        "best.keras",
        "config.json",
        "final.keras",
        "history.csv",
        "report.html",
        "report.zh.html",
        "result.json",
    ]


def test_result_of_a_run(epoch_run: Trained) -> None:
    settings, result, history = results(epoch_run.folder)
    assert settings["variant"] == "document"
    assert settings["seed"] == 1
    assert result["config"] == settings
    assert result["data_sha256"] == data.SPLIT_SHA256
    assert result["device"]["kind"] in ("CPU", "GPU")
    assert set(result["versions"]) >= {"python", "tensorflow", "keras", "numpy"}
    test = result["final"]["test"]
    assert isinstance(test["correct"], int)
    assert test["total"] == 10_000
    assert 94 < test["percent"] < 98.5
    assert result["best_by_validation"] == result["final"]
    assert [int(row["test_correct"]) for row in history] == [test["correct"]]


def test_what_a_run_prints(epoch_run: Trained) -> None:
    final = results(epoch_run.folder)[1]["final"]
    assert (
        "========== Iter 0 ==========\n"
        f"Train set accuracy: {final['train']['percent']} %\n"
        f"Test set accuracy: {final['test']['percent']} %\n"
    ) in epoch_run.output
    table = epoch_run.output.split("accuracy %", 1)[1].splitlines()
    assert re.search(r"reported by the document +30 +98\.51 +- +98\.27", table[1])
    for row in table[2:4]:
        assert row.split()[-1] == f"{final['test']['percent']:.2f}"


@pytest.mark.parametrize("name", ["final.keras", "best.keras"])
def test_models_of_a_run_score_as_its_result_says(
    name: str, epoch_run: Trained, dataset: data.Dataset
) -> None:
    model = keras.saving.load_model(epoch_run.folder / name)
    correct = results(epoch_run.folder)[1]["final"]["test"]["correct"]
    assert training.evaluate(model, dataset.test).correct == correct


@pytest.fixture(scope="module")
def custom_run(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Custom:
    """A run of settings that no variant has together, which misses a threshold."""
    cwd = tmp_path_factory.mktemp("custom")
    finished = run_program(
        data_dir,
        cwd,
        "train",
        "--variant=original",
        "--network=deep_bilstm",
        "--readout=hidden",
        "--scan=columns",
        "--context=9",
        "--blanks=2",
        "--units=4",
        "--batch_size=5000",
        "--learning_rate=0.1",
        "--kernel=keras",
        "--epochs=1",
        "--min_train_accuracy=99",
    )
    (folder,) = (cwd / "runs").iterdir()
    return Custom(folder, finished)


def test_missed_threshold(custom_run: Custom) -> None:
    assert custom_run.finished.returncode == 6
    assert "is below --min_train_accuracy=99" in custom_run.finished.stderr
    assert custom_run.finished.stderr.count("\n") == 1


def test_variant_and_a_part_of_its_own(custom_run: Custom) -> None:
    folder = custom_run.folder
    assert re.fullmatch(r"\d{8}-\d{6}-seed0", folder.name)
    settings, result, history = results(folder)
    assert settings == {
        "variant": "custom",
        "network": "deep_bilstm",
        "readout": "hidden",
        "recurrent_activation": "hard_sigmoid",
        "scan": "columns",
        "cell": "lstm",
        "bidirectional": True,
        "layers": 2,
        "context": 9,
        "blanks": 2,
        "units": 4,
        "epochs": 1,
        "batch_size": 5000,
        "learning_rate": 0.1,
        "schedule": "constant",
        "epsilon": 1e-8,
        "clip_norm": 0.0,
        "kernel": "keras",
        "seed": 0,
    }
    assert [row["epoch"] for row in history] == ["1"]
    assert result["final"]["epoch"] == 1
    # A model with our hard sigmoid is read back without executing code from the file.
    model = keras.saving.load_model(folder / "final.keras", safe_mode=True)
    layers = 4 * (28 * 4 + 4 * 4 + 4) + 4 * (4 * 4 + 4 * 4 + 4)
    assert model.count_params() == 2 * layers + 2 * 4 * 10 + 10


@pytest.fixture(scope="module")
def recorded_run(data_dir: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of `SMALL_RUN` that also records its dynamics and writes logs for TensorBoard.

    Around it, Keras and TensorFlow are told to compute otherwise.
    """
    home = tmp_path_factory.mktemp("keras")
    settings = {
        "floatx": "float64",
        "backend": "jax",
        "epsilon": 0.1,
        "image_data_format": "channels_first",
    }
    (home / "keras.json").write_text(json.dumps(settings))
    return train_once(
        data_dir,
        shared / "recorded",
        *SMALL_RUN,
        "--record_dynamics",
        "--tensorboard",
        KERAS_HOME=str(home),
        KERAS_BACKEND="jax",
        KERAS_MAX_EPOCHS="0",
        KERAS_MAX_STEPS_PER_EPOCH="1",
        TF_DETERMINISTIC_OPS="1",
        TF_FUNCTION_JIT_COMPILE_DEFAULT="1",
        TF_XLA_FLAGS="--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    )


def test_neither_recording_nor_the_environment_changes_a_run(
    small_run: Trained, recorded_run: Trained
) -> None:
    plain, recorded = (
        [
            {key: value for key, value in row.items() if "seconds" not in key}
            for row in results(run.folder)[2]
        ]
        for run in (small_run, recorded_run)
    )
    assert plain == recorded


def test_dynamics_are_of_the_run(recorded_run: Trained) -> None:
    with (recorded_run.folder / "dynamics.csv").open(newline="") as file:
        points = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    # 55 steps an epoch, of which 5 are executed at once.
    assert [point["step"] for point in points] == list(range(5, 111, 5))
    assert points[-1]["loss"] < points[0]["loss"]
    for point in points:
        assert 0 < point["cell_mean"] < point["cell_max"] < 28
        assert point["gradient_norm"] > 0


def test_dynamics_of_epochs_are_of_the_run(recorded_run: Trained) -> None:
    with (recorded_run.folder / "dynamics.csv").open(newline="") as file:
        points = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    with (recorded_run.folder / "epoch_dynamics.csv").open(newline="") as file:
        epochs = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    for epoch, point in zip(epochs, points[10::11], strict=True):
        for name in ("loss", "gradient_norm", "cell_mean", "cell_max"):
            assert epoch[name] == point[name]
        assert 0 < epoch["gain"] < 10
        assert 0 < epoch["saturated"] < 1
        assert 0 < epoch["recurrent_norm"] < epoch["weight_norm"]


def test_dynamics_are_those_of_the_network_on_500_images(
    recorded_run: Trained, dataset: data.Dataset
) -> None:
    with (recorded_run.folder / "epoch_dynamics.csv").open(newline="") as file:
        *_, last = csv.DictReader(file)
    model = keras.saving.load_model(recorded_run.folder / "final.keras")
    images, labels = dataset.train.images[:500], dataset.train.labels[:500]
    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, model(images))
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    cells = np.abs(networks.memory(model)(images))
    layer = [weight.astype(np.float64) for weight in model.get_layer("lstm").get_weights()]
    growth, saturated = probes.follow(layer, "sigmoid", images.astype(np.float64))
    expected = {
        "loss": loss,
        "gradient_norm": tf.linalg.global_norm(gradients),
        "gain": np.median(growth),
        "saturated": saturated,
        "cell_mean": cells.mean(),
        "cell_max": cells.max(),
        "weight_norm": np.linalg.norm(np.concatenate([w.ravel() for w in model.get_weights()])),
        "recurrent_norm": np.linalg.norm(layer[1]),
    }
    for name, value in expected.items():
        assert float(last[name]) == pytest.approx(float(value), rel=1e-4), name


@pytest.mark.parametrize(
    ("split", "tag", "name"),
    [
        ("train", "epoch_loss", "training_loss"),
        ("train", "epoch_accuracy", "train_percent"),
        ("train", "epoch_test_accuracy", "test_percent"),
        ("validation", "epoch_accuracy", "validation_percent"),
        ("validation", "epoch_loss", "validation_loss"),
    ],
)
def test_logs_for_tensorboard_are_of_the_run(
    recorded_run: Trained, split: str, tag: str, name: str
) -> None:
    _, _, history = results(recorded_run.folder)
    logs = EventAccumulator(str(recorded_run.folder / "tensorboard" / split)).Reload()
    scale = 100 if name.endswith("percent") else 1
    logged = [scale * float(make_ndarray(event.tensor_proto)) for event in logs.Tensors(tag)]
    assert logged == pytest.approx([float(row[name]) for row in history], rel=1e-6)


@pytest.mark.slow
def test_verify(command: Command) -> None:
    finished = command("verify")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    header, *rows, verdict = finished.stdout.splitlines()
    assert header.split() == ["quantity", "ours", "recorded", "difference", "bound"]
    assert len(rows) == 91
    assert all(row.endswith("  ok") for row in rows)
    assert verdict == "All within bounds."


@pytest.mark.slow
@pytest.mark.parametrize("failed", [[], ["losses of the first 10 steps"]])
def test_verify_for_programs(command: Command, altered: Path, failed: list[str]) -> None:
    finished = command("verify", "--json", *([f"--trace={altered}"] if failed else []))
    assert (finished.returncode, finished.stderr) == (bool(failed), "")
    told = json.loads(finished.stdout)
    assert (told["seed"], told["passed"]) == ((3, False) if failed else (7, True))
    assert told["kernel"] in config.KERNELS
    assert len(told["checks"]) == (80 if failed else 91)
    assert [row["quantity"] for row in told["checks"] if not row["passed"]] == failed
    assert all(
        set(row) == {"quantity", "ours", "recorded", "difference", "bound", "passed"}
        for row in told["checks"]
    )


@pytest.fixture(scope="module")
def altered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of one epoch with another loss."""
    import numpy as np

    recorded = ROOT / "tests" / "reproduction" / "traces" / "trace_seed_3.npz"
    with np.load(recorded) as file:
        arrays = dict(file)
    arrays["loss"][3] += 1e-3
    path = tmp_path_factory.mktemp("altered") / "altered.npz"
    np.savez(path, **arrays)
    path.with_suffix(".json").write_text(recorded.with_suffix(".json").read_text())
    return path


def test_verify_fails_on_an_altered_trace(command: Command, altered: Path) -> None:
    finished = command("verify", f"--trace={altered}")
    assert finished.returncode == 1
    assert finished.stderr == ""
    header, *rows, verdict = finished.stdout.splitlines()
    assert header.split() == ["quantity", "ours", "recorded", "difference", "bound"]
    assert len(rows) == 80
    (failed,) = [row for row in rows if not row.endswith("  ok")]
    assert failed.startswith("losses of the first 10 steps ")
    assert verdict == "FAILED: 1 out of bounds"


def test_verify_refuses_an_unreadable_trace_before_tensorflow_is_imported(
    altered: Path, tmp_path: Path
) -> None:
    (tmp_path / "trace.npz").write_bytes(altered.read_bytes()[:1000])
    (tmp_path / "trace.json").write_text(altered.with_suffix(".json").read_text())
    finished = without_tensorflow(tmp_path, "verify", "--trace=trace.npz")
    assert finished.returncode == 3
    assert finished.stderr.startswith("lstm_mnist: trace.npz is not a readable NPZ file")
    assert finished.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.gate
def test_stable_recipe_passes_the_gate(command: Command, tmp_path: Path) -> None:
    thresholds = ("--min_train_accuracy=98.51", "--min_test_accuracy=98.27", "--gate=final")
    finished = command("--variant=stable", "--output_dir=out", *thresholds)
    assert finished.returncode == 0, finished.stderr
    _, _, history = results(tmp_path / "out")
    assert len(history) == 30
    check = command("check", "out", *thresholds)
    assert check.returncode == 0, check.stderr
