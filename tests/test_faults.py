import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import pytest
from conftest import Command, environment

from lstm_mnist import config, data, networks
from lstm_mnist.runs import model_files
from lstm_mnist.studies import records
from lstm_mnist.system.errors import DataError

ROOT = Path(__file__).parents[1]
SMALL = ("--units=4", "--batch_size=1000")
# In it an ordinary user may mount.
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def in_namespace(
    script: str, data_dir: Path, cwd: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a shell script where it may mount file systems."""
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system allows no namespaces")
    return subprocess.run(
        [*NAMESPACE, "bash", "-c", script, "bash", sys.executable, *arguments],
        cwd=cwd,
        env=environment(data_dir),
        capture_output=True,
        text=True,
        check=False,
    )


def test_full_and_read_only_disks(data_dir: Path, tmp_path: Path) -> None:
    # Two checkpoints and a model fit, but no second model or third checkpoint beside them.
    script = """
        python=$1; shift; mkdir disk; mount -t tmpfs -o size=88k tmpfs disk
        $python -m lstm_mnist "$@" --output_dir=disk/run >&2; echo $?
        ls disk/run/checkpoints
        mount -o remount,ro disk
        $python -X importtime -m lstm_mnist "$@" --output_dir=disk/run 2>read-only; echo $?
        mount -o remount,rw,size=10m disk
        $python -m lstm_mnist --resume=disk/run >&2; echo $?
        cp -r disk/run .
    """
    finished = in_namespace(script, data_dir, tmp_path, *SMALL, "--epochs=4")
    assert "cannot be written: No space left on device\n" in finished.stderr, finished.stderr
    full, *checkpoints, read_only, resumed = finished.stdout.splitlines()
    assert (full, read_only, resumed) == ("7", "7", "0"), finished.stderr
    assert len(checkpoints) == 2
    assert "Traceback" not in finished.stderr
    errors = (tmp_path / "read-only").read_text()
    assert "lstm_mnist: disk/run cannot be written: Read-only file system" in errors
    assert "tensorflow" not in errors
    assert json.loads((tmp_path / "run" / "result.json").read_text())["final"]["epoch"] == 4


def test_any_user_without_a_home_and_with_read_only_data(data_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data_dir, copy)
    (copy / data.DECODED).unlink()
    before = sorted(copy.rglob("*"))
    script = """
        python=$1; shift; mount --bind data data && mount -o remount,bind,ro data
        anyone="unshare --user --map-user=12345 env -i PYTHONPATH=$PYTHONPATH"
        touch data/probe; $anyone id -u
        $anyone TFDS_DATA_DIR=data $python -m lstm_mnist "$@"; echo $?
        $anyone $python -X importtime -m lstm_mnist "$@" 2>no-home; echo $?
    """
    finished = in_namespace(script, copy, tmp_path, *SMALL, "--epochs=1", "--output_dir=out")
    user, *output, code, without_home = finished.stdout.splitlines()
    assert (user, code) == ("12345", "0"), finished.stderr
    assert finished.stderr.count("\n") == 1  # that of the probe
    assert "touch: cannot touch 'data/probe': Read-only file system" in finished.stderr
    assert output[-1] == "Report: out/report.html"
    assert sorted(copy.rglob("*")) == before
    assert without_home == "2"
    errors = (tmp_path / "no-home").read_text()
    assert "lstm_mnist: there is no home folder to keep MNIST in: name a folder with --d" in errors
    assert "tensorflow" not in errors


def test_diverging_run(command: Command, tmp_path: Path) -> None:
    finished = command(*SMALL, "--learning_rate=1e38", "--output_dir=out")
    assert finished.returncode == 5
    assert re.fullmatch(
        r"lstm_mnist: seed 0 has diverged in epoch 1: after step 5 the mean loss is nan; what was "
        r"before stays in out/checkpoints: a smaller --learning_rate may help\n",
        finished.stderr,
    )
    assert "Iter" not in finished.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "checkpoints",
        "config.json",
    ]
    assert len(list(tmp_path.glob("out/checkpoints/epoch-0-step-0-*.npz"))) == 1

    many = command("compare", "--runs=1", *SMALL, "--learning_rate=1e38", "--study_dir=study")
    assert many.returncode == 5
    assert many.stderr.startswith("lstm_mnist: seed 0 has diverged in epoch 1")
    assert many.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "study").iterdir()] == [".lock"]


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


@pytest.mark.parametrize("kind", ["text", "truncated", "other shapes", "missing"])
def test_file_that_is_no_model_of_ours_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "best.keras"
    if kind == "text":
        path.write_text("no model")
    elif kind == "truncated":
        settings = config.Config(units=4, kernel="keras")
        networks.build(settings).save(path)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif kind == "other shapes":
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path)
    with pytest.raises(DataError, match=r"best\.keras is not a model of this project") as caught:
        model_files.load(path)
    assert "\n" not in str(caught.value)


def test_table_of_faults_names_tests_that_exist() -> None:
    table = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert rows
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named, row
        for file, name in named:
            module = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
            functions = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
            assert name in functions, f"{file}::{name}"


def test_without_the_compiled_kernel(data_dir: Path, tmp_path: Path) -> None:
    package = Path(__file__).parents[1] / "lstm_mnist"
    without = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(package, tmp_path / "lstm_mnist", ignore=without)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lstm_mnist", "--epochs=1", "--units=1", *arguments],
            cwd=tmp_path,
            env={**environment(data_dir), "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    refused = run("--kernel=compiled")
    assert refused.returncode == 2
    assert "--kernel=compiled: the compiled kernel was not built: install" in refused.stderr
    assert refused.stderr.count("\n") == 1
    finished = run("--output_dir=run")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("Keras' own layers are taken: the compiled kernel was not") == 1
    assert records.read([tmp_path / "run"])[0].arithmetic == "keras-1"
