"""Which versions of Keras read this project's files: `python -m benchmarks.keras_versions`.

It installs them, and a TensorFlow of their time, in an environment of its own. That TensorFlow
exists for Python 3.9 to 3.12.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np

from lstm_mnist import config, networks
from lstm_mnist.runs import model_files

TENSORFLOW = "tensorflow-cpu==2.16.2"
VERSIONS = ["3.3.3", "3.4.1", "3.5.0", "3.6.0", "3.7.0", "3.8.0", "3.10.0", "3.12.0", "3.14.0"]
NETWORKS = {
    "document": config.variant("document"),
    "original": config.variant("original"),
    "stable, deep_birnn": config.variant("stable", **config.NETWORKS["deep_birnn"]),
    "stable, by columns": config.variant("stable", scan="columns", context=14),
    "stable, blanks": config.variant("stable", blanks=3),
}
# What another program does. `original` has a function that Keras lacks.
READER = """
import sys
import keras, numpy as np
def hard_sigmoid(x):
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)
images, expected = np.load("images.npy"), np.load("logits.npy")
for number, logits in enumerate(expected):
    try:
        network = keras.saving.load_model(
            f"{number}.keras", custom_objects={"lstm_mnist>hard_sigmoid": hard_sigmoid}
        )
        print(f"{np.abs(network.predict(images, verbose=0) - logits).max():.0e}")
    except Exception as error:
        print("not read")
"""


def main() -> None:
    """Print a row of a table for each version: the greatest deviation of each network's logits."""
    print("| Keras | " + " | ".join(NETWORKS) + " |")
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder))
        python = Path(folder, "python", "bin", "python")
        venv.create(Path(folder, "python"), with_pip=True)
        _install(python, TENSORFLOW)
        for version in VERSIONS:
            _install(python, "--no-deps", f"keras=={version}")
            cells = _run([str(python), "-c", READER], Path(folder)).split("\n")
            print(f"| {version} | " + " | ".join(cells) + " |", flush=True)


def _write(folder: Path) -> None:
    """Write each network's file, and its logits for some images."""
    images = np.random.default_rng(0).random((20, 28, 28), np.float32)
    logits = []
    for number, settings in enumerate(NETWORKS.values()):
        weights = networks.build(settings).get_weights()
        model_files.write(folder / f"{number}.keras", weights, settings)
        logits.append(model_files.portable(weights, settings).predict(images, verbose=0))
    np.save(folder / "images.npy", images)
    np.save(folder / "logits.npy", np.stack(logits))


def _install(python: Path, *arguments: str) -> None:
    _run([str(python), "-m", "pip", "install", "--quiet", *arguments], python.parent)


def _run(command: list[str], folder: Path) -> str:
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(finished.stderr)
    return finished.stdout.strip()


if __name__ == "__main__":
    main()
