import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from lstm_mnist import config, networks
from lstm_mnist.runs import model_files
from lstm_mnist.system.errors import DataError


def test_model_file_executes_no_code(tmp_path: Path) -> None:
    inputs = keras.Input((28, 28))
    written = tmp_path / "written"
    attack = f"lambda x: open({str(written)!r}, 'w') and x"
    outputs = keras.layers.Dense(10)(keras.layers.Flatten()(inputs))
    outputs = keras.layers.Lambda(eval(attack), output_shape=(10,))(outputs)
    path = tmp_path / "attack.keras"
    keras.Model(inputs, outputs).save(path)
    written.unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"attack\.keras is not a model of this project"):
        model_files.load(path)
    # A class that is anything Python can import.
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content["config.json"] = json.dumps(
        {"module": "os", "class_name": "system", "config": {"command": f"touch {written}"}}
    ).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in content.items():
            archive.writestr(name, part)
    with pytest.raises(DataError, match=r"attack\.keras is not a model of this project"):
        model_files.load(path)
    assert not written.exists()


@pytest.mark.parametrize("kind", ["text", "truncated", "other shapes", "not finite", "missing"])
def test_file_that_is_no_model_of_ours_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "best.keras"
    if kind == "text":
        path.write_text("no model")
    elif kind == "truncated":
        settings = config.Config(units=4, kernel="keras")
        networks.build(settings).save(path)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif kind == "not finite":
        model = networks.build(config.Config(units=4, kernel="keras"))
        model.weights[-1].assign([float("nan"), *range(9)])
        model.save(path)
    elif kind == "other shapes":
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path)
    with pytest.raises(DataError, match=r"best\.keras is not a model of this project") as caught:
        model_files.load(path)
    assert "\n" not in str(caught.value)


def test_file_has_no_key_that_earlier_versions_of_keras_lack(tmp_path: Path) -> None:
    settings = config.variant("stable", units=4)
    weights = networks.build(settings).get_weights()
    path = tmp_path / "best.keras"
    model_files.write(path, weights, settings)
    with zipfile.ZipFile(path) as archive:
        stored = archive.read("config.json").decode()
    for key in model_files.LATER_KEYS:
        assert f'"{key}"' not in stored
    with zipfile.ZipFile(model_files.SHIPPED) as archive:
        shipped = archive.read("config.json").decode()
    for key in model_files.LATER_KEYS:
        assert f'"{key}"' not in shipped
    loaded = model_files.load(path)
    images = np.random.default_rng(1).random((3, 28, 28), np.float32)
    expected = model_files.portable(weights, settings)(images)
    np.testing.assert_array_equal(loaded(images), expected)
