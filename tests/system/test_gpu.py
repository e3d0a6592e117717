"""On a machine with a GPU: `.venv/bin/python -m pytest -m gpu`."""

from pathlib import Path

import pytest
from helpers import Command

from lstm_mnist.runs import model_files

pytestmark = pytest.mark.gpu


def test_recordings_are_replayed(command: Command) -> None:
    finished = command("verify", "--device=gpu")
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("variant", ["original", "stable"])  # by TensorFlow's loop, by cuDNN
def test_a_seed_gives_the_same_weights_again(
    variant: str, command: Command, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        finished = command(
            "--device=gpu", f"--variant={variant}", "--epochs=1", f"--output_dir={name}"
        )
        assert finished.returncode == 0, finished.stderr
    one, two = (
        [
            array.tobytes()
            for array in model_files.load(tmp_path / name / "final.keras").get_weights()
        ]
        for name in ("one", "two")
    )
    assert one == two
