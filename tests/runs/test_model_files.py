import json
import os
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lstm_mnist import config, networks
from lstm_mnist.runs import model_files
from lstm_mnist.system.errors import DataError


def words(text: str) -> set[str]:
    return set(text.split())


# The arguments that Keras 3.4.1's classes take.
LAYER = words("name trainable dtype activity_regularizer")
KERNEL = words(
    "units activation use_bias kernel_initializer bias_initializer kernel_regularizer "
    "bias_regularizer kernel_constraint bias_constraint"
)
RECURRENT = words(
    "recurrent_initializer recurrent_regularizer recurrent_constraint dropout recurrent_dropout "
    "seed return_sequences return_state go_backwards stateful unroll zero_output_for_mask"
)
LSTM = {"recurrent_activation", "unit_forget_bias", "use_cudnn"}
KEYS = {
    "Functional": {"name", "trainable", "layers", "input_layers", "output_layers"},
    "InputLayer": {"batch_shape", "dtype", "sparse", "name"},
    "Permute": LAYER | {"dims"},
    "Cropping1D": LAYER | {"cropping"},
    "SimpleRNN": LAYER | KERNEL | RECURRENT,
    "LSTM": LAYER | KERNEL | RECURRENT | LSTM,
    "RNN": LAYER | RECURRENT | {"cell"},
    "LSTMCell": LAYER | KERNEL | RECURRENT | LSTM,
    "Dense": LAYER | KERNEL,
    "Flip": {"axis"},
    "Concatenate": {"axis"},
    "GlorotUniform": {"seed"},
    "Orthogonal": {"seed", "gain"},
    "Zeros": set(),
    "DTypePolicy": {"name"},
    "__keras_tensor__": {"shape", "dtype", "keras_history"},
}


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


@pytest.mark.parametrize(
    "kind", ["text", "truncated", "other shapes", "not finite", "missing", "pipe"]
)
def test_file_that_is_no_model_of_ours_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "best.keras"
    if kind == "text":
        path.write_text("no model")
    elif kind == "truncated":
        settings = config.Config(units=4, kernel="keras")
        networks.build(settings).save(path)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "not finite":
        model = networks.build(config.Config(units=4, kernel="keras"))
        model.weights[-1].assign([float("nan"), *range(9)])
        model.save(path)
    elif kind == "other shapes":
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path)
    with pytest.raises(DataError, match=r"best\.keras is not a model of this project") as caught:
        model_files.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        config.variant("stable", units=4),
        config.variant("original", units=4, scan="columns", context=14),
        config.variant("stable", units=4, **config.NETWORKS["deep_birnn"]),
    ],
    ids=["stable", "original", "deep_birnn"],
)
def test_file_has_no_key_that_the_oldest_keras_to_read_it_lacks(
    settings: config.Config, tmp_path: Path
) -> None:
    weights = networks.build(settings).get_weights()
    path = tmp_path / "best.keras"
    model_files.write(path, weights, settings)
    assert unknown_keys(path) == []
    images = np.random.default_rng(1).random((3, 28, 28), np.float32)
    expected = model_files.portable(weights, settings)(images)
    np.testing.assert_array_equal(model_files.load(path)(images), expected)


def test_shipped_file_has_no_such_key_either() -> None:
    assert unknown_keys(model_files.SHIPPED) == []


def unknown_keys(path: Path) -> list[tuple[str, set[str]]]:
    """Return the classes of a file's parts with the keys that Keras 3.4.1 would refuse."""
    with zipfile.ZipFile(path) as archive:
        found = parts(json.loads(archive.read("config.json")))
    named = [(part["class_name"], set(part["config"]) - KEYS[part["class_name"]]) for part in found]
    return [(name, unknown) for name, unknown in named if unknown]


def parts(stored: Any) -> list[dict[str, Any]]:
    """Return all parts of a configuration that name a class and its arguments."""
    if isinstance(stored, list):
        return [part for each in stored for part in parts(each)]
    if not isinstance(stored, dict):
        return []
    inner = parts(list(stored.values()))
    return [stored, *inner] if isinstance(stored.get("config"), dict) else inner
