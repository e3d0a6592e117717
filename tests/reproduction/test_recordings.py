"""The files of recordings."""

import hashlib
import json
import re
from pathlib import Path

import pytest

import errors
import recordings

ROOT = Path(__file__).parents[2]
TRACES = ROOT / "lstm_mnist" / "traces"
RECORDED = TRACES / "recorded_runs.json"
EARLIER = Path(__file__).parent / "traces" / "earlier_runs.json"
ORIGIN = {
    "tensorflow": "1.15.5",
    "numpy": "1.18.5",
    "document_sha256": "d" * 64,
    "script_sha256": "5" * 64,
}
CURVE = [(90 + k / 7, 80 + k / 7) for k in range(30)]


def test_runs_are_added_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    for seed in (None, 3, None, 3, 0):
        recordings.append_run(path, seed, ORIGIN, CURVE)
    fields = json.loads(path.read_text())
    committed = json.loads(RECORDED.read_text())
    assert {name: fields[name] for name in ("source", "columns")} == {
        name: committed[name] for name in ("source", "columns")
    }
    assert {name: fields[name] for name in ORIGIN} == ORIGIN
    assert [run["seed"] for run in fields["runs"]] == [None, 3, None, 0]  # 3 once
    rounded = [[round(train, 4), round(test, 4)] for train, test in CURVE]
    assert [run["curve"] for run in fields["runs"]] == [rounded] * 4
    assert [file.name for file in tmp_path.iterdir()] == ["runs.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a file of recorded runs"),
        ("[]", "is not a file of recorded runs"),
        ('{"runs": [{"seed": 1}]}', "is not a file of recorded runs"),
        (EARLIER.read_text(), "has tensorflow None, this run '1.15.5'"),
        (None, "has tensorflow '1.14.0', this run '1.15.5'"),
    ],
)
def test_other_runs_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "runs.json"
    if content is None:
        other = {**ORIGIN, "tensorflow": "1.14.0"}
        recordings.append_run(path, 1, other, CURVE)
        fields = json.loads(path.read_text())
        content = json.dumps({**fields, "source": fields["source"].replace("1.14.0", "1.15.5")})
    path.write_text(content)
    with pytest.raises(errors.RecorderError, match=message):
        recordings.append_run(path, 2, ORIGIN, CURVE)
    assert path.read_text() == content


@pytest.mark.parametrize("seeds", [(1, 1), (1, 2)])
def test_runs_twice_or_incomplete_are_refused(tmp_path: Path, seeds: tuple[int, int]) -> None:
    path = tmp_path / "runs.json"
    recordings.append_run(path, 1, ORIGIN, CURVE)
    fields = json.loads(path.read_text())
    complete = fields["runs"][0]["curve"]
    curve = complete if seeds == (1, 1) else complete[:29]
    fields["runs"].append({"seed": seeds[1], "curve": curve})
    path.write_text(json.dumps(fields))
    with pytest.raises(errors.RecorderError, match="a seed twice or an incomplete run"):
        recordings.append_run(path, 3, ORIGIN, CURVE)


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "missing" / "bad"
    good.write_bytes(b"before")
    with pytest.raises(errors.UsageError, match="cannot be written"):
        recordings.write({good: b"after", bad: b"after"})
    assert good.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["good"]
    recordings.write({good: b"after"})
    assert good.read_bytes() == b"after"


def test_digests_of_the_recordings_are_told() -> None:
    """Each row of the page begins with a file and ends with its SHA-256."""
    page = (TRACES / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([\w/.]+)` \|.*\| `([0-9a-f]{64})` \|$", page, re.MULTILINE))
    files = [
        file
        for folder in (TRACES, EARLIER.parent)
        for file in folder.iterdir()
        if file.name != "README.md"
    ]
    assert told == {
        str(file.relative_to(ROOT)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


def test_committed_runs_are_the_planned_ones() -> None:
    fields = json.loads(RECORDED.read_text())
    assert (fields["tensorflow"], fields["numpy"]) == ("1.15.5", "1.18.5")
    assert sorted(run["seed"] for run in fields["runs"]) == [*range(30)]
    for run in fields["runs"]:
        assert len(run["curve"]) == 30
        assert all(0 <= percent <= 100 for accuracies in run["curve"] for percent in accuracies)


def test_committed_runs_agree_with_earlier_ones() -> None:
    """A seed gave the same run before and with the recorder, on processors with AVX-512."""
    with_avx512 = range(10)  # the earlier ones all; without it, TensorFlow 1 rounds differently
    committed, earlier = (
        {run["seed"]: run["curve"] for run in json.loads(path.read_text())["runs"]}
        for path in (RECORDED, EARLIER)
    )
    both = committed.keys() & earlier.keys()
    assert both == {1, 2, 3, 4, 5, 11, 12, 13, 14, 15}
    for seed in both:
        assert (committed[seed] == earlier[seed]) == (seed in with_avx512)
