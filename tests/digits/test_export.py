import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from helpers import Command
from numpy.typing import NDArray

from lstm_mnist import config, data, networks, training
from lstm_mnist.digits import exports
from lstm_mnist.runs import model_files
from lstm_mnist.system.errors import OutputError

Images = NDArray[np.float32]


def run_saved_model(path: Path, images: Images) -> Any:
    loaded = tf.saved_model.load(path)
    return loaded.serve(images).numpy()


def run_litert(path: Path, images: Images) -> Any:
    # By LiteRT's own package, which has none of TensorFlow's operations.
    interpreter = Interpreter(str(path))
    (given,), (returned,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(returned["index"])


def run_onnx(path: Path, images: Images) -> Any:
    session = onnxruntime.InferenceSession(path)
    (given,) = session.get_inputs()
    assert given.name == "images"
    return session.run(["logits"], {given.name: images})[0]


RUN: dict[str, Callable[[Path, Images], Any]] = {
    "saved_model": run_saved_model,
    "litert": run_litert,
    "onnx": run_onnx,
}
NAMES = {"saved_model": "out", "litert": "out.tflite", "onnx": "out.onnx"}


@pytest.mark.parametrize(
    "form", ["saved_model", "onnx", pytest.param("litert", marks=pytest.mark.slow)]
)
def test_round_trip_of_the_shipped_model(form: str, tmp_path: Path, dataset: data.Dataset) -> None:
    model = model_files.load(model_files.SHIPPED)
    path = tmp_path / NAMES[form]
    exports.export(model, path, form)
    assert list(tmp_path.iterdir()) == [path]
    images = dataset.test.images
    batches = np.split(images, 10)
    logits = np.concatenate([RUN[form](path, batch) for batch in batches])
    assert np.abs(logits - training.predict(model, images)).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("form", ["saved_model", "litert", "onnx"])
def test_round_trip_of_another_network(form: str, tmp_path: Path) -> None:
    settings = config.variant("original", scan="columns", bidirectional=True, units=7)
    model = model_files.portable(networks.build(settings).get_weights(), settings)
    images = np.random.default_rng(1).uniform(size=(5, 28, 28)).astype(np.float32)
    path = tmp_path / NAMES[form]
    exports.export(model, path, form)
    logits = RUN[form](path, images)
    assert np.abs(logits).max() > 0.1
    assert np.abs(logits - training.predict(model, images)).max() < 1e-4


@pytest.mark.parametrize("form", ["saved_model", pytest.param("litert", marks=pytest.mark.slow)])
def test_failed_export_leaves_nothing(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    settings = config.Config(units=2)
    model = model_files.portable(networks.build(settings).get_weights(), settings)
    with pytest.raises(OutputError, match="No space left"):
        exports.export(model, tmp_path / NAMES[form], form)
    assert list(tmp_path.iterdir()) == []


def test_file_that_came_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    monkeypatch.setattr(exports, "_name_output", lambda _: path.write_text("another's"))
    settings = config.Config(units=2)
    model = model_files.portable(networks.build(settings).get_weights(), settings)
    with pytest.raises(OutputError, match=r"net\.onnx exists: name another"):
        exports.export(model, path, "onnx")
    assert path.read_text() == "another's"


def test_exported_from_a_run(command: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(model_files.SHIPPED, tmp_path / "run" / "best.keras")
    finished = command("export", "--model=run")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == "Exported: saved_model\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "saved_model"]
