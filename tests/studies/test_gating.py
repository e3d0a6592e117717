"""`gate`: real runs against a calibration, real sabotage, and what is refused."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from helpers import ROOT, Command, Trained, completed, run_once, run_program, without_tensorflow

import lstm_mnist
from lstm_mnist import data, training
from lstm_mnist.commands.gate import SUMMARY
from lstm_mnist.recurrence import layers
from lstm_mnist.studies import calibration, fleet, outcome
from lstm_mnist.studies.gate import Plan
from lstm_mnist.system import runtime
from lstm_mnist.system.errors import DivergedError, UsageError

# A network that takes seconds, and whose accuracy spreads over many points.
TINY = ("--units=4", "--epochs=1", "--batch_size=5000", "--learning_rate=0.05")
PAGE = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
Change = Callable[[dict[str, Any]], Any]

pytestmark = pytest.mark.compiled


def gated(
    data_dir: Path, folder: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Gate the program with a sabotage, the first argument, put into it."""
    return completed(
        data_dir, folder, sys.executable, "-m", "benchmarks.gates", *arguments, **variables
    )


def check_regression(junit: Path) -> None:
    """Check that JUnit's XML tells of a regression by the runs, whatever the first steps were."""
    (suite,) = ElementTree.parse(junit).getroot()
    golden, sequential = suite.findall("testcase")
    assert golden.find("failure") is None
    failure = sequential.find("failure")
    assert failure is not None
    assert "REGRESSION" in failure.get("message", "")


def test_first_steps_are_compared_to_the_last_bit(data_dir: Path, tmp_path: Path) -> None:
    files = ("--quick", "--junit=junit.xml")
    passed = gated(
        data_dir, tmp_path, "nothing", *files, GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md")
    )
    assert (passed.returncode, passed.stderr) == (0, "")
    assert "PASSED: 12 steps and their scores are those of the calibration" in passed.stdout
    assert "Not proven by this: " in passed.stdout
    (suite,) = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
    assert "### Accuracy gate: passed" in (tmp_path / "summary.md").read_text()

    failed = gated(
        data_dir,
        tmp_path,
        "weight decay of 1e-3",
        *files,
        "--json",
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"),
    )
    assert failed.returncode == 6
    assert failed.stderr.startswith("lstm_mnist: CHANGED: the first steps do not compute what ")
    assert failed.stderr.count("\n") == 1
    found = json.loads(failed.stdout)
    assert (found["state"], found["passed"], found["runs"]) == ("changed", False, [])
    assert (found["versions"], found["git"]) == (runtime.versions(), runtime.git_state())
    assert re.match(r"the loss of step 2 is 2\.\d+, not 2\.\d+", found["golden"]["difference"])
    (suite,) = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert suite.get("failures") == "1"
    assert suite.find("testcase/failure") is not None
    told = (tmp_path / "summary.md").read_text()
    assert told.index("### Accuracy gate: passed") < told.index("### Accuracy gate: changed")


@pytest.fixture(scope="module")
def own(data_dir: Path, shared: Path) -> Trained:
    """The folder of a calibration by `TINY`; beside it its file `own.json`."""
    where = ("--study_dir=own", "--save=own.json")
    return run_once(
        data_dir, shared / "own", "gate", "--calibrate", *TINY, "--runs=10", "--workers=1", *where
    )


@pytest.mark.slow
def test_calibration_is_of_its_runs(own: Trained) -> None:
    made = calibration.read(own.folder.with_suffix(".json"))
    assert [run.config.seed for run in made.runs] == [*range(1000, 1010)]
    assert made.config.units == 4
    told = [line for line in own.output.splitlines() if re.search(r": test \d", line)]
    assert len(told) == 10
    for run, line in zip(made.runs, told, strict=True):
        assert f"seed{run.config.seed}: test {run.final.test.percent:.2f} %" in line


@pytest.mark.slow
def test_finished_runs_of_a_calibration_are_not_trained_again(
    own: Trained, command: Command, tmp_path: Path
) -> None:
    shutil.copytree(own.folder, tmp_path / "own")
    shutil.rmtree(tmp_path / "own" / "stable-seed1003")
    where = ("--study_dir=own", "--save=own.json", "--workers=2")
    again = command("gate", "--calibrate", *TINY, "--runs=10", *where)
    assert again.returncode == 0, again.stderr
    told, last = again.stdout.splitlines()
    assert told.split(": test ")[0].endswith("stable-seed1003")
    assert last == own.output.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda result: result["versions"].update(keras="3.0"),
        lambda result: result.update(git={"commit": "0" * 40, "changed": False}),
        lambda result: result.update(program_sha256="0" * 64),
    ],
    ids=["versions", "commit", "program"],
)
def test_runs_of_another_program_are_not_calibrated_with(
    own: Trained, command: Command, tmp_path: Path, change: Change
) -> None:
    shutil.copytree(own.folder, tmp_path / "own")
    for path in tmp_path.glob("own/*/result.json"):
        result = json.loads(path.read_text())
        change(result)
        path.write_text(json.dumps(result))
    where = ("--study_dir=own", "--save=own.json")
    refused = command("gate", "--calibrate", *TINY, "--runs=10", *where)
    assert refused.returncode == 2
    told = "stable-seed1000 was made by another commit or state of this program, other versions, "
    assert told in refused.stderr
    assert not (tmp_path / "own.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_program_as_it_was_calibrated_passes(own: Trained, data_dir: Path, workers: int) -> None:
    sd = calibration.read(own.folder.with_suffix(".json")).baseline.sd
    asked = ("--against=own.json", f"--drop={6 * sd:.1f}", f"--workers={workers}", "--json")
    passed = run_program(data_dir, own.folder.parent, "gate", *asked)
    assert passed.returncode == 0, passed.stderr
    found = json.loads(passed.stdout)
    assert (found["state"], found["golden"]["equal"]) == ("passed", True)
    assert found["calibration"]["config"]["units"] == 4


def altered(folder: Path, change: Change, known: Path = calibration.COMMITTED) -> str:
    """Write a calibration, changed, and return the flag that names it."""
    value = json.loads(known.read_text(encoding="utf-8"))
    change(value)
    (folder / "own.json").write_text(json.dumps(value))
    return "--against=own.json"


def of_all_runs(change: Change) -> Change:
    def changed(value: dict[str, Any]) -> None:
        for run in value["runs"]:
            change(run)

    return changed


@pytest.mark.slow
def test_program_that_was_better_is_a_regression(
    own: Trained, data_dir: Path, tmp_path: Path
) -> None:
    def better(run: dict[str, Any]) -> None:
        run["epochs"][-1][2] += 2_000  # test images counted as right, 20 points

    against = altered(tmp_path, of_all_runs(better), own.folder.with_suffix(".json"))
    failed = run_program(data_dir, tmp_path, "gate", against, "--drop=10", "--junit=junit.xml")
    assert failed.returncode == 6, failed.stdout + failed.stderr
    assert "REGRESSION: the test accuracy has dropped: " in failed.stderr
    assert "First steps: equal to the last bit." in failed.stdout
    assert re.search(
        r"^Run 1, seed 0: test accuracy \d\d\.\d\d %, .* at most 31$", failed.stdout, re.MULTILINE
    )
    check_regression(tmp_path / "junit.xml")


@pytest.mark.slow
def test_training_that_diverges_is_a_regression(
    own: Trained, data_dir: Path, tmp_path: Path
) -> None:
    diverging = of_all_runs(lambda run: run["config"].update(learning_rate=1e38))
    against = altered(tmp_path, diverging, own.folder.with_suffix(".json"))
    failed = run_program(data_dir, tmp_path, "gate", against, "--drop=10")
    assert failed.returncode == 6, failed.stdout + failed.stderr
    assert "First steps: seed 1000 has diverged in epoch 1" in failed.stdout
    assert re.search(r"^Run 2, seed 1: test accuracy 9\.80 %", failed.stdout, re.MULTILINE)
    assert failed.stderr.startswith("lstm_mnist: REGRESSION: the test accuracy has dropped: ")
    assert failed.stderr.count("\n") == 1


@pytest.mark.slow
def test_sabotage_is_caught(data_dir: Path, tmp_path: Path) -> None:
    failed = gated(data_dir, tmp_path, "training images shifted by one pixel", "--junit=junit.xml")
    assert failed.returncode == 6, failed.stdout + failed.stderr
    assert "REGRESSION: the test accuracy has dropped: " in failed.stderr
    assert re.search(
        r"^Run 1, seed 0: test accuracy 9\d\.\d\d %, .* at most 31$", failed.stdout, re.MULTILINE
    )
    check_regression(tmp_path / "junit.xml")


def test_accuracy_too_good_to_be_true_is_caught() -> None:
    known = calibration.read(calibration.COMMITTED)
    found = outcome.Outcome(calibration=known, plan=Plan(), golden=None)
    sound = found.after(outcome.GateRun(0, known.baseline.mean + 0.1, 9.0))
    assert (sound.state, sound.passed, sound.decided) == ("passed", True, True)
    leaked = found.after(outcome.GateRun(0, 99.51, 9.0))
    assert (leaked.passed, leaked.decided) == (False, True)
    assert "99.51 %, above 99.5 %: look for leaked labels" in leaked.sentence


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_unchanged_program_passes(command: Command, workers: int) -> None:
    passed = command("gate", f"--workers={workers}", "--json")
    assert passed.returncode == 0, passed.stderr
    found = json.loads(passed.stdout)
    assert found["golden"]["equal"]
    committed = json.loads((ROOT / "benchmarks" / "results" / "gates.json").read_text())["gates"]
    assert [run["accuracy"] for run in found["runs"]] == committed[0]["accuracies"]


@pytest.mark.slow
def test_example_of_a_layer_of_ones_own(data_dir: Path, tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "test_layer.py").write_text(example)
    pytest_alone = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    done = completed(data_dir, tmp_path, *pytest_alone, "test_layer.py")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_snippets_have_flags_that_exist(tmp_path: Path) -> None:
    blocks = re.findall(r"^```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    commands = re.findall(r"-m lstm_mnist gate\b([^'\n]*)", "\n".join(blocks))
    assert len(commands) >= 6
    shown = without_tensorflow(tmp_path, "gate", "--help").stdout
    for command in commands:
        for flag in re.findall(r"--(\w+)", command):
            assert re.search(rf"--(\[no\])?{flag}:", shown), flag


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (lambda value: value.pop("golden"), 3, "own.json is not a gate's calibration: 'golden'"),
        (lambda value: value["golden"].update(losses=[None]), 3, "is None, not float"),
        (lambda value: value["runs"].clear(), 3, "it holds no runs"),
        (
            lambda value: value["runs"].__delitem__(slice(9, None)),
            3,
            "has 9 runs: at least 10 are needed",
        ),
        (lambda value: value["runs"][0].update(arithmetic="compiled-9"), 3, "differ in arithmetic"),
        (
            lambda value: value["runs"][0]["versions"].update(keras="3.0"),
            3,
            "by versions of packages that differ",
        ),
        (
            lambda value: value["runs"][0]["git"].update(commit="0" * 40),
            3,
            "commits or states of this program",
        ),
        (
            lambda value: value["runs"][0].update(program_sha256="0" * 64),
            3,
            "commits or states of this program",
        ),
        (
            of_all_runs(lambda run: run.update(git=None)),
            3,
            "it is not known that one state of this program made all of its runs",
        ),
        (
            of_all_runs(lambda run: run["data_sha256"].update(test="0" * 64)),
            3,
            "data_sha256 is that of other data",
        ),
        (
            of_all_runs(lambda run: run.update(arithmetic="compiled-9")),
            2,
            "own.json was calibrated by arithmetic compiled-9, and here it is compiled-",
        ),
        (
            of_all_runs(lambda run: run["epochs"][-1].__setitem__(2, 9_800)),
            3,
            "its runs do not differ",
        ),
        (
            lambda content: content["runs"][1].update(
                diverged="seed 1001 has diverged in epoch 1: x", epochs=[]
            ),
            3,
            "a run of it has diverged",
        ),
        (
            lambda content: content["runs"][1].update(epochs=content["runs"][0]["epochs"]),
            3,
            "are one run, given twice",
        ),
        (
            of_all_runs(lambda run: run["epochs"][-1].__setitem__(2, 9960)),
            3,
            "a run of it is above 99.5 %",
        ),
        (
            of_all_runs(lambda run: run["config"].update(seed=run["config"]["seed"] - 1000)),
            2,
            "seed 0 is one of the calibration's in own.json: take other seeds",
        ),
    ],
)
def test_unsuited_calibration_is_refused(
    tmp_path: Path, change: Change, code: int, message: str
) -> None:
    refused = without_tensorflow(tmp_path, "gate", altered(tmp_path, change))
    assert (refused.returncode, refused.stdout) == (code, "")
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--against=none.json"], 3, "none.json is unreadable: No such file"),
        (["--variant=document"], 2, "was calibrated with schedule cosine, not constant"),
        (["--units=90"], 2, "was calibrated with units 100, not 90"),
        (["--seed=990"], 2, "seed 1000 is one of the calibration's in"),
        (["--kernel=keras"], 2, "was calibrated by arithmetic compiled-1, and here it is keras-1"),
        (["--drop=0.12"], 2, "--drop=0.12: the calibration's 40 runs have a standard deviation of"),
        (["--max_runs=4"], 2, "so that 4 runs decide about drops of 0.29 or more: take a larger"),
        (["--drop=nan"], 2, "flag --drop=nan: must be above 0 and below 100"),
        (["--power=1.0"], 2, "flag --power=1.0: must be above 0 and below 1"),
        (["--false_alarm=nan"], 2, "flag --false_alarm=nan: must be above 0 and below 1"),
        (["--max_runs=1"], 2, "max_runs"),
        (["--calibrate", "--quick"], 2, "--quick is for a gate: omit it with --calibrate"),
        (["--calibrate", "--drop=1"], 2, "--drop is for a gate: omit it with --calibrate"),
        (["--quick", "--workers=1"], 2, "--quick trains no run: omit --workers"),
        (["--quick", "--drop=1"], 2, "--quick trains no run: omit --drop"),
        (
            ["--calibrate", "--runs=10", "--save=own.json", "--units=1000000"],
            8,
            "there is not enough memory: --units=1000000",
        ),
        (["--runs=10"], 2, "--runs goes with --calibrate"),
        (["--study_dir=own"], 2, "--study_dir goes with --calibrate"),
        (
            ["--calibrate", "--runs=10", "--save=own.json", "--batch_size=10000"],
            2,
            "--batch_size=10000: the first 6 batches would hold more than 55000 images",
        ),
        (["--calibrate"], 2, "--calibrate needs --runs=N and --save=FILE"),
        (["--calibrate", "--runs=3", "--save=own.json"], 2, "runs"),
        (["--calibrate", "--runs=10", "--save=no/own.json"], 7, "no is not a writable folder"),
        (["--junit=no/junit.xml"], 7, "no is not a writable folder"),
        (["final"], 2, "unexpected final"),
    ],
)
def test_mistakes_are_told_before_tensorflow_is_imported(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    refused = without_tensorflow(tmp_path, "gate", *arguments)
    assert (refused.returncode, refused.stdout) == (code, "")
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("flags", [["--calibrate"], ["--runs=10"], ["--drop=nan"]], ids=str)
def test_earlier_verdict_outlives_wrong_flags(tmp_path: Path, flags: list[str]) -> None:
    (tmp_path / "gate.xml").write_text("an earlier verdict")
    refused = without_tensorflow(tmp_path, "gate", "--junit=gate.xml", *flags)
    assert refused.returncode == 2
    assert (tmp_path / "gate.xml").read_text() == "an earlier verdict"


@pytest.mark.parametrize(
    ("name", "flags", "variables", "code"),
    [
        ("gate.xml", ["--against=none.json"], {}, 3),
        ("link.xml", ["--against=none.json"], {}, 3),
        ("gate.xml", ["--data_dir=own.xml"], {}, 2),
        ("gate.xml", [], {SUMMARY: "none/summary.md"}, 7),
    ],
)
def test_earlier_verdict_does_not_outlive_a_gate_without_one(
    tmp_path: Path, name: str, flags: list[str], variables: dict[str, str], code: int
) -> None:
    (tmp_path / "own.xml").touch()
    made = calibration.read(calibration.COMMITTED)
    earlier = outcome.Outcome(calibration=made, plan=Plan(), golden=None).junit()
    (tmp_path / "gate.xml").write_text(earlier)
    (tmp_path / "link.xml").symlink_to("gate.xml")
    refused = without_tensorflow(tmp_path, "gate", *flags, f"--junit={name}", **variables)
    assert refused.returncode == code
    assert not (tmp_path / "gate.xml").exists()


@pytest.fixture
def started_for_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' process was not; it trains nothing here."""
    monkeypatch.setattr(runtime, "started_for", lambda: "compiled")


@pytest.mark.usefixtures("started_for_the_kernel")
def test_calibration_on_a_cpu_is_refused_on_a_gpu(
    tmp_path: Path, dataset: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_keras = of_all_runs(lambda run: run.update(arithmetic="keras-1"))
    altered(tmp_path, of_keras)
    monkeypatch.setattr(layers, "device", lambda: "GPU")
    with pytest.raises(UsageError, match="by arithmetic keras-1, and here it is keras-1 on a GPU"):
        lstm_mnist.gate_change(lstm_mnist.build, dataset, against=tmp_path / "own.json")


@pytest.mark.parametrize("kernel", [None, "keras"])
def test_gate_of_a_process_that_was_not_started_for_it(
    dataset: data.Dataset, monkeypatch: pytest.MonkeyPatch, kernel: str | None
) -> None:
    monkeypatch.setattr(runtime, "started_for", lambda: kernel)
    with pytest.raises(UsageError, match=r'call start\(kernel="auto"\) first'):
        lstm_mnist.gate_change(lstm_mnist.build, dataset)


@pytest.mark.usefixtures("started_for_the_kernel")
def test_gate_by_fewer_test_images(dataset: data.Dataset) -> None:
    fewer = dataset._replace(test=dataset.test.part(slice(100)))
    with pytest.raises(
        UsageError, match="the data has 100 test images, the package's calibration is of"
    ):
        lstm_mnist.gate_change(lstm_mnist.build, fewer)


@pytest.mark.usefixtures("started_for_the_kernel")
def test_network_of_ones_own_that_diverges(
    dataset: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise DivergedError("seed 5 has diverged in epoch 1")

    monkeypatch.setattr(training, "run", diverge)
    found = lstm_mnist.gate_change(lstm_mnist.build, dataset, seed=5)
    assert (found.state, found.golden) == ("regression", "seed 5 has diverged in epoch 1")
    assert [(run.seed, run.accuracy) for run in found.runs] == [(5, 9.8), (6, 9.8)]


def test_finished_runs_are_judged_in_their_order() -> None:
    one, two, three = map(Path, "abc")
    assert [*fleet.in_order(iter([three, one, two]), [one, two, three])] == [one, two, three]


def test_file_that_is_no_verdict_is_kept(tmp_path: Path) -> None:
    for text in (
        PAGE,
        "<testsuites/>",
        '<testsuites><testsuite name="others"/></testsuites>',
        '<?xml version="1.0" encoding="gb2312"?><a/>',
        '<?xml version="1.0" encoding="none"?><a/>',
    ):
        (tmp_path / "mine.xml").write_text(text)
        refused = without_tensorflow(tmp_path, "gate", "--junit=mine.xml")
        assert refused.returncode == 7
        assert "--junit=mine.xml is no verdict of a gate: name another file" in refused.stderr
        assert (tmp_path / "mine.xml").read_text() == text


@pytest.mark.slow
def test_missed_gate_counts_where_nothing_can_be_written(data_dir: Path, tmp_path: Path) -> None:
    for sabotage, code in (("weight decay of 1e-3", 6), ("nothing", 7)):
        program = f"{sys.executable} -m benchmarks.gates '{sabotage}' --quick"
        done = completed(data_dir, tmp_path, "bash", "-c", f"{program} >/dev/full")
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
