"""Mistakes of a user: one line and an exit code, before TensorFlow is imported."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import Command, without, without_tensorflow

from lstm_mnist import config
from lstm_mnist.__main__ import COMMANDS


def test_help_does_not_import_tensorflow() -> None:
    for command in ([], *([name] for name in COMMANDS)):
        finished = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "lstm_mnist", *command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "Usage: python -m lstm_mnist" in finished.stdout
        if command in ([], ["compare"]):
            assert f"<{'|'.join(config.NETWORKS)}>" in re.sub(r"\s", "", finished.stdout)
        imported = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
        assert "absl.flags" in imported
        late = {"tensorflow", "keras", "numpy", "scipy", "PIL", "distributed", "flask", "waitress"}
        assert not late & imported


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_reads(unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    finished = subprocess.run(
        [sys.executable, "-m", "lstm_mnist", "--help"],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert finished.returncode == 141
    assert finished.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit"], 2, "there is no command fit; the commands are: train, gate, verify, compare"),
        (["train", "verify"], 2, "unexpected verify"),
        (["--epoch=3"], 2, "Unknown command line flag 'epoch'. Did you mean: epochs"),
        (["verify", "--epochs=3"], 2, "Unknown command line flag 'epochs'"),
        (["--flagfile=file"], 2, "there is no flag --flagfile"),
        (["--undefok=epoch", "--epoch=3"], 2, "there is no flag --undefok"),
        (["--stderrthreshold=loud"], 2, "--stderrthreshold must be one of"),
        (["--logger_levels=keras:loud"], 2, "Unknown level: 'loud'"),
        (["--epochs=0"], 2, "--epochs=0"),
        (["--epochs=many"], 2, "--epochs=many"),
        (["--batch_size=60000"], 2, "--batch_size=60000"),
        (["--learning_rate=nan"], 2, "--learning_rate=nan: must be a number above 0"),
        (["--learning_rate=-1"], 2, "--learning_rate=-1"),
        (["--learning_rate=1e-40"], 2, "--learning_rate=1e-40: must be a number above 0, and one"),
        (["--clip_norm=1e-300"], 2, "--clip_norm=1e-300: must be a number of 0 or more, and one"),
        (["--epsilon=1e300"], 2, "--epsilon=1e+300"),
        ([f"--units={10**200}"], 2, "--units=1000"),
        (["--units=0"], 2, "--units=0"),
        (["--seed=-1"], 2, "--seed=-1"),
        (["--variant=mine"], 2, "--variant=mine"),
        (["--recurrent_activation=tanh"], 2, "--recurrent_activation=tanh"),
        (["--device=tpu"], 2, "--device=tpu"),
        (["--network=gru"], 2, "--network=gru"),
        (["--context=29"], 2, "--context=29"),
        (["--blanks=-1"], 2, "--blanks=-1"),
        (["--network=rnn", "--readout=hidden"], 2, "--readout=hidden: a simple RNN has one state"),
        (
            ["--network=rnn", "--recurrent_activation=sigmoid"],
            2,
            "--recurrent_activation=sigmoid: a s",
        ),
        (["--kernel=slow"], 2, "--kernel=slow"),
        (["--data_dir=file"], 2, "--data_dir=file is not a folder"),
        (["verify", "--trace=."], 2, "--trace=.: there is no file ."),
        (["verify", "--trace=/"], 2, "--trace=/: there is no file /"),
        (["verify", "--trace=none.npz"], 2, "there is no file none.npz"),
        (["verify", "--trace=lonely.npz"], 2, "there is no file lonely.json"),
        (["--schedule=linear"], 2, "--schedule=linear"),
        (["--epsilon=-1"], 2, "--epsilon=-1.0: must be a number of 0 or more"),
        (["--epsilon=nan"], 2, "--epsilon=nan"),
        (["--epsilon=inf"], 2, "--epsilon=inf"),
        (["--gate=median"], 2, "--gate=median"),
        (["--min_test_accuracy=101"], 2, "--min_test_accuracy=101"),
        (["compare"], 2, "compare needs either --runs=N or --from=DIR"),
        (["compare", "--runs=2", "--from=full"], 2, "either --runs=N or --from=DIR"),
        (["compare", "--runs=2", "full"], 2, "unexpected full"),
        (["compare", "--runs=2", "--variants=mine"], 2, "--variants: there is no mine"),
        (["compare", "--runs=2", "--variants=original,"], 2, "there is no variant without a name"),
        (["compare", "--from=full", "--report=/"], 7, "/ cannot be written: it is a folder"),
        (["compare", "--from=full", "--report=."], 7, ". cannot be written: it is a folder"),
        (["compare", "--runs=2", "--variants="], 2, "--variants: there is no variant without a"),
        (
            ["compare", "--runs=2", "--study_dir=file"],
            7,
            "--study_dir=file cannot be written: File exists",
        ),
        (["compare", "--runs=2", "--report=none/page.html"], 7, "none/page.html cannot be written"),
        (["compare", "--runs=2", "--save=full"], 7, "full cannot be written: it is a folder"),
        (["compare", "--from=full", "--from=none"], 2, "--from is given twice"),
        (["compare", "--from=full", "--epochs=3"], 2, "--epochs is for training"),
        (["compare", "--from=full", "--variants=stable"], 2, "--variants is for training"),
        (["compare", "--from=full", "--device=gpu"], 2, "--device is for training"),
        (["compare", "--from=full", "--data_dir=empty"], 2, "--data_dir is for training"),
        (["compare", "--from=none", "--data_dir=empty", "--report=new.html"], 3, "none holds no"),
        (["compare", "--from=full", "--kernel=keras"], 2, "--kernel is for training"),
        (["compare", "--from=full", "--record_dynamics"], 2, "--record_dynamics is for training"),
        (
            ["compare", "--runs=1", "--variants=original,document", "--units=9", "--scan=columns"],
            2,
            "with these flags, several of the variants are called custom: train them apart",
        ),
        (["check", "full", "--device=gpu"], 2, "--device is for --evaluate"),
        (["check", "full", "--data_dir=empty"], 2, "--data_dir is for --evaluate"),
        (["check", "full", "--kernel=keras"], 2, "--kernel is no flag of check (see check --help)"),
        (["export", "--device=gpu"], 2, "--device is no flag of export (see export --help)"),
        (["gate", "--record_dynamics"], 2, "--record_dynamics is no flag of gate"),
        (["--verbosity=1"], 2, "--verbosity is no flag of train"),
        (["compare", "--runs=1000000000"], 2, "--runs=1000000000"),
        (["gate", "--max_runs=1000000000"], 2, "--max_runs=1000000000"),
        (["compare", "--from=none"], 3, "none holds no finished run"),
        (["compare", "--from=full"], 3, "full/result.json is not what a finished run leaves"),
        (["check"], 2, "check needs the folder of a run"),
        (["check", "file"], 3, "file is not a study file"),
        (["predict"], 2, "predict needs pictures"),
        (["predict", "a.png", "--model=none"], 2, "--model=none: there is no file none"),
        (["predict", "a.png", "--model=full"], 2, "there is no file full/best.keras"),
        (["predict", "a.png", "--show=full"], 7, "--show=full is not empty"),
        (["serve", "full"], 2, "unexpected full"),
        (["serve", "--host="], 2, "--host= names no address"),
        (["serve", "--host=a\udcffb"], 2, "cannot be taken: name another"),
        (["serve", "--port=70000"], 2, "--port=70000"),
        (["serve", "--host=192.0.2.1"], 2, "--host=192.0.2.1 --port=8000 cannot be taken"),
        (["export", "--format=pickle"], 2, "--format=pickle"),
        (["export", "--format=onnx", "--output=net.pb"], 2, "ends with .onnx"),
        (["export", "--output=full"], 7, "--output=full exists"),
        (["export", "--output=none/net"], 7, "none/net cannot be written: none is not a writable"),
        (["--output_dir=file"], 7, "--output_dir=file: file is not a writable folder"),
        (["--output_dir=file/run"], 7, "--output_dir=file/run"),
        (["--output_dir=full"], 7, "--output_dir=full is not empty"),
        (["--resume=none"], 2, "--resume=none is not a folder"),
        (["--resume=full"], 2, "--resume=full: that run is finished"),
        (["--resume=empty"], 4, "empty/checkpoints holds no checkpoint to continue from"),
        (["--resume=full", "--output_dir=empty"], 2, "--resume and --output_dir both name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_get_one_line_before_tensorflow_is_imported(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "lonely.npz").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "result.json").write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    finished = without_tensorflow(tmp_path, *arguments)
    assert finished.returncode == code, finished.stderr
    assert finished.stdout == ""
    assert message in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "full" / "result.json").read_text() == "kept"


def test_compare_without_dask(tmp_path: Path) -> None:
    finished = without("distributed", tmp_path, "compare", "--runs=1")
    assert finished.returncode == 2
    assert "--runs needs the package distributed: pip install -r" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_gate_side_by_side_without_dask(tmp_path: Path) -> None:
    finished = without("distributed", tmp_path, "gate", "--workers=2")
    assert finished.returncode == 2
    assert "--workers needs the package distributed: pip install -r" in finished.stderr
    finished = without("tqdm", tmp_path, "gate", "--workers=2", "--against=none.json")
    assert finished.returncode == 3  # which comes later: tqdm is not needed


def test_gpu_where_there_is_none(command: Command, tmp_path: Path) -> None:
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    finished = command("--device=gpu")
    assert finished.returncode == 2
    assert finished.stderr.startswith("lstm_mnist: --device=gpu: TensorFlow finds no GPU here")
    assert finished.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
