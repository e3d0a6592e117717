"""The recorder of the original script, where it does not need TensorFlow 1."""

import errno
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import record
import script
from errors import RecorderError

ROOT = Path(__file__).parents[2]
TRACES = ROOT / "lstm_mnist" / "traces"

# Prints, feeds and fetches as the document's script does, on another network and random digits:
# 3 iterations, each of 12 training steps, 12 batches of train and 5 of test evaluation.
SCRIPT = """\
import numpy as np
import tensorflow.compat.v1 as tf

x = tf.placeholder(tf.float32, [None, 28])
y = tf.placeholder(tf.float32, [None, 10])
kernel = tf.get_variable("kernel", [28, 400])
bias = tf.get_variable("bias", [400])
recurrent = tf.get_variable("recurrent_kernel", [100, 400])
hidden = tf.matmul(tf.tanh(tf.matmul(x, kernel) + bias), recurrent, transpose_b=True)
final_state = [hidden, tf.tanh(hidden)]
dense = tf.get_variable("dense", [100, 10])
prediction = tf.matmul(final_state[1], dense) + tf.get_variable("dense_bias", [10])
loss = tf.losses.softmax_cross_entropy(y, prediction)
train = tf.train.AdamOptimizer(learning_rate=1e-2).minimize(loss)
hits = tf.cast(tf.equal(tf.argmax(prediction, 1), tf.argmax(y, 1)), tf.float32)
accuracy = tf.reduce_mean(hits)

def batch():
    labels = np.random.randint(10, size=20)
    return {x: np.random.rand(20, 28).astype("float32"), y: np.eye(10)[labels]}

with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for k in range(3):
        for _ in range(12):
            session.run(train, batch())
        print("========== Iter " + str(k) + " ==========")
        found = [session.run(accuracy, batch()) for _ in range(12)]
        print("Train set accuracy: " + str(np.mean(found) * 100), "%")
        found = [session.run(accuracy, batch()) for _ in range(5)]
        print("Test set accuracy: " + str(np.mean(found) * 100), "%")
"""
# Run as a process of its own, because TensorFlow 1's behaviour is the whole process's.
OBSERVE = """\
import pathlib, sys
from lstm_mnist.system import runtime
with runtime.uncollected():
    import tensorflow.compat.v1 as tf
import observer
import recordings
import script
from errors import RecorderError

tf.disable_v2_behavior()
text, iterations, trace = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "trace"
try:
    observed = observer.observe(script.seeded(text, 7), tf, iterations, trace)
except RecorderError as error:
    sys.exit(f"refused: {error}")
recordings.write(recordings.trace_files(pathlib.Path("out.npz"), 7, {}, observed))
"""


def document(script: str = SCRIPT, heading: str = "### 0x05 A script") -> str:
    """Return a document with the script in a fenced block of a section."""
    other = "### 0x04 Before\n\n```python\nimport other\n```\n\n"
    return f"# Title\n\n{other}{heading}\n\nText\n\n```python\n{script}```\n\nEnd.\n"


def recorder(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, ROOT / "original" / "record.py", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_script_is_taken_out_of_its_section(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "document.md"
    content = document().replace("\n", newline).encode()
    path.write_bytes(content)
    found = script.script_of(path)
    assert found.text == SCRIPT
    assert found.sha256 == hashlib.sha256(SCRIPT.encode()).hexdigest()
    assert found.document_sha256 == hashlib.sha256(content).hexdigest()


def test_seeds_are_two_lines_more(tmp_path: Path) -> None:
    before, after = SCRIPT.splitlines(), script.seeded(SCRIPT, 7).splitlines()
    assert len(after) == len(before) + 2
    imports, start = 2, before.index("    session.run(tf.global_variables_initializer())")
    assert after[imports] == "tf.set_random_seed(7)"
    assert after[start + 1] == "    import numpy; numpy.random.seed(7)"
    assert [line for n, line in enumerate(after) if n not in (imports, start + 1)] == before


@pytest.mark.parametrize(
    "text",
    ["", "import a\n", "b.global_variables_initializer()\nimport a\n"],
)
def test_script_without_places_for_the_seeds_is_refused(text: str) -> None:
    with pytest.raises(RecorderError, match="does not import"):
        script.seeded(text, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: .*No such file"),
        (b"\xff\xfe", "cannot be read: .*utf-8"),
        (b"# Title\n", "has 0 fenced Python blocks"),
        (document(heading="### 0x06 Another").encode(), "has 0 fenced Python blocks"),
        (document(f"{SCRIPT}```\n\n```python\n").encode(), "has 2 fenced Python blocks"),
        (document().encode(), "is not the script that this project reproduces"),
    ],
)
def test_what_is_not_the_document_is_refused(
    tmp_path: Path, text: bytes | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "document.md").write_bytes(text)
    finished = recorder("--document=document.md", "--seed=1", "--output=trace.npz", cwd=tmp_path)
    assert finished.returncode == 3
    assert re.search(f"^--document=document.md.*{message}.*\n$", finished.stderr)
    assert not (tmp_path / "trace.npz").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--output=a.npz --seed=1", "--document"),
        ("--document=d", "give either --output"),
        ("--document=d --output=a.npz --runs=b.json", "give either --output"),
        ("--document=d --output=a.npz", "--output needs --seed"),
        ("--document=d --output=a.zip --seed=1", "must end in .npz"),
        ("--document=d --runs=b.json --epochs=30", "--epochs is for --output"),
        ("--document=d --output=a.npz --seed=-1", "'-1' is not a whole number"),
        ("--document=d --output=a.npz --seed=1 --epochs=31", "'31' is not a whole number"),
        ("--document=d --output=a.npz --seed=1 --epochs=0", "'0' is not a whole number"),
        ("--document=d --output=a.npz --seed=1 --unknown", "--unknown"),
    ],
)
def test_wrong_flags_are_refused(tmp_path: Path, flags: str, message: str) -> None:
    finished = recorder(*flags.split(), cwd=tmp_path)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("trace.npz", "this is Python 3.1"),
        ("missing/trace.npz", "cannot be written: .*No such file"),
        ("folder.npz", "cannot be written: it is a folder"),
        ("beside.npz", "beside.json cannot be written: it is a folder"),
    ],
)
def test_place_and_python_are_looked_at_before_the_script_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    output: str,
    message: str,
) -> None:
    monkeypatch.setattr(script, "SHA256", hashlib.sha256(SCRIPT.encode()).hexdigest())
    path = tmp_path / "document.md"
    path.write_text(document())
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "beside.json").mkdir()
    assert record.main([f"--document={path}", "--seed=1", f"--output={tmp_path / output}"]) == 2
    assert re.search(message, capsys.readouterr().err)


def observe(tmp_path: Path, iterations: int, trace: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", OBSERVE, SCRIPT, str(iterations), trace],
        cwd=tmp_path,
        env={
            "PYTHONPATH": f"{ROOT}:{ROOT / 'original'}",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "CUDA_VISIBLE_DEVICES": "-1",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> "tuple[Path, str]":
    """The folder in which two of the three iterations were traced, and what was printed."""
    folder = tmp_path_factory.mktemp("observed")
    finished = observe(folder, 2, "trace")
    assert finished.returncode == 0, finished.stderr
    return folder, finished.stdout


def test_recording_is_of_what_the_script_did(observed: tuple[Path, str]) -> None:
    folder, _ = observed
    with np.load(folder / "out.npz") as npz:
        arrays = dict(npz)
    expected = np.load(TRACES / "trace_seed_7.npz")
    later = [name for name in expected if name.startswith(("after_100", "after_550"))]
    assert list(arrays) == [name for name in expected if name not in later]

    logits, labels = arrays["first_batch/logits"].astype(float), arrays["first_batch/labels"]
    exponentials = np.exp(logits)
    likelihood = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert arrays["loss"].shape == (24,)
    expected_loss = -np.mean(np.log(likelihood[range(20), labels]))
    np.testing.assert_allclose(arrays["loss"][0], expected_loss, rtol=1e-5)
    error = (likelihood - np.eye(10)[labels]) / 20
    state = arrays["first_batch/final_state_1"]
    np.testing.assert_allclose(np.tanh(arrays["first_batch/final_state_0"]), state, atol=1e-6)
    for name, gradient in (("dense_bias", error.sum(axis=0)), ("dense_kernel", state.T @ error)):
        np.testing.assert_allclose(
            arrays[f"first_batch/gradient/{name}"], gradient, rtol=1e-4, atol=1e-6
        )
    dense = arrays["initial/dense_kernel"]
    np.testing.assert_allclose(
        state @ dense + arrays["initial/dense_bias"], logits, rtol=1e-4, atol=1e-5
    )
    for name in ("kernel", "recurrent_kernel", "bias", "dense_kernel", "dense_bias"):
        gradient = arrays[f"first_batch/gradient/{name}"]
        step = arrays[f"after_1/{name}"] - arrays[f"initial/{name}"]
        moved = np.abs(gradient) > 1e-4
        np.testing.assert_allclose(step[moved], -0.01 * np.sign(gradient[moved]), rtol=1e-2)
        assert np.any(arrays[f"after_10/{name}"] != arrays[f"after_1/{name}"])


def test_labels_are_those_of_each_pass(observed: tuple[Path, str]) -> None:
    folder, _ = observed
    fields = json.loads((folder / "out.json").read_text())
    random = np.random.RandomState(7)
    expected = []
    for _ in range(2):
        for name, batches in (("train", 12), ("train_evaluation", 12), ("test_evaluation", 5)):
            labels = []
            for _ in range(batches):
                labels.append(random.randint(10, size=20))
                random.rand(20, 28)
            digest = hashlib.sha256(np.concatenate(labels).astype(np.uint8).data).hexdigest()
            expected.append([name, digest])
    assert fields["label_order_sha256"] == expected
    assert fields["seed"] == 7
    assert fields["iterations"] == 2


@pytest.mark.slow
def test_recording_changes_nothing_and_ends_after_the_iteration(
    observed: tuple[Path, str], tmp_path: Path
) -> None:
    """Held against the script alone, of which one iteration more is asked than it has."""
    folder, printed = observed
    alone = observe(tmp_path, 4, "curve")
    assert alone.returncode == 1
    assert "refused: the script ended after 3 iterations" in alone.stderr
    assert list(tmp_path.iterdir()) == []
    assert printed.count("Iter") == 2
    assert alone.stdout.count("Iter") == 3
    assert alone.stdout.startswith(printed)
    accuracies = [float(text) for text in re.findall(r"accuracy: (\S+) %", printed)]
    with np.load(folder / "out.npz") as npz:
        assert npz["accuracy_percent"].tolist() == [accuracies[:2], accuracies[2:]]


def test_full_disk_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(flags: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(record, "_record", full)
    arguments = [f"--document={tmp_path}", f"--runs={tmp_path / 'runs.json'}"]
    assert record.main(arguments) == 2
    assert capsys.readouterr().err.endswith("No space left on device\n")


def test_altered_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with record.mnist_at_hand():
        assert len(list(Path("data").glob("*.gz"))) == 4
    for file in record.ARCHIVES.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(record, "ARCHIVES", tmp_path)
    labels = tmp_path / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(labels.read_bytes()[:-1])
    with pytest.raises(RecorderError, match="t10k-labels"), record.mnist_at_hand():
        pass
    labels.unlink()
    with pytest.raises(RecorderError, match="cannot be read"), record.mnist_at_hand():
        pass
