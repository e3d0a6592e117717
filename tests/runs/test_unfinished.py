"""An unfinished run that cannot be continued: other settings, and damaged checkpoints."""

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpointed import damage, paths, rewrite, saved
from helpers import without_tensorflow

from lstm_mnist import config, data, training
from lstm_mnist.recurrence import library
from lstm_mnist.results import Observer
from lstm_mnist.runs import checkpoints, execution
from lstm_mnist.system import resources, runtime
from lstm_mnist.system.errors import CheckpointError, UsageError

pytestmark = pytest.mark.xdist_group("unfinished")  # whose fixture is made once


@pytest.fixture(scope="module")
def unfinished(dataset: data.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on a few images that was asked to stop in its third epoch."""
    folder = tmp_path_factory.mktemp("unfinished") / "run"
    settings = config.Config(units=4, epochs=8)
    few = data.Dataset(*(split.part(slice(500)) for split in dataset))

    class Stopping(Observer):
        questions = itertools.count(1)

        def stop_requested(self) -> bool:
            return next(self.questions) == 9

    with checkpoints.held(folder), pytest.raises(KeyboardInterrupt):
        execution.execute(
            settings,
            few,
            folder,
            device={"kind": "CPU", "cores": 2, "keras": runtime.KERAS},
            extras=execution.Extras(dynamics=True),
            store=checkpoints.Store(folder),
            observer=Stopping(),
        )
    assert saved(folder) == ["epoch-2-step-0", "epoch-2-step-5"]
    return folder


@pytest.fixture
def copied(unfinished: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to damage."""
    return shutil.copytree(unfinished, tmp_path / "run")


def test_changed_flags_are_refused(unfinished: Path) -> None:
    before = sorted(unfinished.rglob("*"))
    changed = ("--units=5", "--variant=original", "--batch_size=100", "--norecord_dynamics")
    for where in ("--resume=run", "--output_dir=run"):
        finished = without_tensorflow(unfinished.parent, where, *changed, "--epochs=8")
        assert finished.returncode == 2
        assert (
            "run holds an unfinished run with other settings "
            "(recurrent_activation is sigmoid, not hard_sigmoid; units is 4, not 5; "
            "record_dynamics is True, not False)"
        ) in finished.stderr
        assert finished.stderr.count("\n") == 1
    assert sorted(unfinished.rglob("*")) == before


def test_another_arithmetic_is_refused(
    unfinished: Path, dataset: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(unfinished.rglob("*"))
    start = checkpoints.newest(unfinished)
    monkeypatch.setattr(library, "VERSION", 2)
    with pytest.raises(UsageError, match=r"begun by arithmetic \w+-1, and here it is \w+-2"):
        execution.execute(
            start.config,
            dataset,
            unfinished,
            device=start.device,
            store=checkpoints.Store(unfinished, start),
        )
    assert sorted(unfinished.rglob("*")) == before


def test_other_settings_of_keras_are_refused(unfinished: Path, dataset: data.Dataset) -> None:
    before = sorted(unfinished.rglob("*"))
    start = checkpoints.newest(unfinished)
    other = {**start.device, "keras": {"floatx": "float64"}}
    with pytest.raises(UsageError, match=r"begun by Keras with .*float32.*, and here .*float64"):
        execution.execute(
            start.config,
            dataset,
            unfinished,
            device=other,
            store=checkpoints.Store(unfinished, start),
        )
    assert sorted(unfinished.rglob("*")) == before


@pytest.mark.parametrize("kind", ["truncated", "altered"])
def test_damaged_checkpoints_are_an_error(copied: Path, kind: str) -> None:
    for path in paths(copied):
        damage(path, kind)
    for where in ("--resume=run", "--output_dir=run"):
        finished = without_tensorflow(
            copied.parent, where, "--units=4", "--epochs=8", "--record_dynamics"
        )
        assert finished.returncode == 4
        assert "run/checkpoints holds no checkpoint to continue from" in finished.stderr
        assert finished.stderr.count("damaged: SHA-256") == 2
        assert finished.stderr.count("\n") == 1
    assert len(paths(copied)) == 2


def test_checkpoint_may_take_what_memory_there_is(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a network of some thousand units does, whose checkpoint has more than other files may."""
    monkeypatch.setattr(resources, "available_memory", lambda: 10)
    with pytest.raises(CheckpointError, match="bytes, and 10 is the limit"):
        checkpoints.newest(copied)


def test_foreign_checkpoints_are_an_error(copied: Path) -> None:
    settings = (copied / "config.json").read_text()
    (copied / "config.json").write_text(settings.replace('"seed": 0', '"seed": 1'))
    finished = without_tensorflow(copied.parent, "--resume=run")
    assert finished.returncode == 4
    assert finished.stderr.count("is another run's") == 2
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["units", "epochs"])
def test_settings_of_another_type_are_an_error(copied: Path, name: str) -> None:
    settings = json.loads((copied / "config.json").read_text())
    settings[name] = float(settings[name])
    (copied / "config.json").write_text(json.dumps(settings))
    finished = without_tensorflow(copied.parent, "--resume=run")
    assert finished.returncode == 4
    assert "does not hold a run's settings" in finished.stderr


def test_what_is_no_checkpoint_is_an_error(copied: Path) -> None:
    for path in paths(copied):
        path.unlink()
    content = b"not an archive"
    digest = hashlib.sha256(content).hexdigest()
    (copied / "checkpoints" / f"epoch-7-step-0-{digest}.npz").write_bytes(content)
    finished = without_tensorflow(copied.parent, "--resume=run")
    assert finished.returncode == 4
    assert f"epoch-7-step-0-{digest}.npz is not a checkpoint" in finished.stderr
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored["json"]["state"].update(step=10**9),
        lambda stored: stored["json"]["state"].update(step=0.5),
        lambda stored: stored["json"]["state"]["epochs"].pop(0),
        lambda stored: stored.pop("best/0"),
        lambda stored: stored.pop("weights/0"),
    ],
    ids=["far step", "half a step", "missing epoch", "missing best weights", "missing weights"],
)
def test_checkpoint_of_no_run_is_an_error(
    copied: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    newest = paths(copied)[-1]
    rewrite(newest, change)
    for path in paths(copied)[:-1]:
        path.unlink()
    finished = without_tensorflow(copied.parent, "--resume=run")
    assert finished.returncode == 4
    assert "its state is none of this run" in finished.stderr
    assert finished.stderr.count("\n") == 1


def test_checkpoint_of_another_network_is_an_error(copied: Path, dataset: data.Dataset) -> None:
    def widen(stored: dict[str, Any]) -> None:
        stored["weights/0"] = np.zeros((28, 20), np.float32)

    rewrite(paths(copied)[-1], widen)
    start = checkpoints.newest(copied)
    with pytest.raises(CheckpointError, match="holds arrays of another network"):
        training.run(start.config, dataset, start=start.state)


def test_settings_that_found_no_room_are_those_of_the_checkpoint(copied: Path) -> None:
    before = checkpoints.newest(copied)
    (copied / "config.json").unlink()
    assert checkpoints.newest(copied).config == before.config


def test_missing_checkpoints_are_an_error(copied: Path) -> None:
    for path in paths(copied):
        path.unlink()
    finished = without_tensorflow(copied.parent, "--resume=run")
    assert finished.returncode == 4
    assert "run/checkpoints holds no checkpoint to continue from: there is no" in finished.stderr
