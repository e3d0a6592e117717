import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from lstm_mnist import config, data
from lstm_mnist.results import Epoch, Score
from lstm_mnist.studies import records, reference, statistics
from lstm_mnist.system.errors import DataError, UsageError

RECORDED = reference.recorded_test_curves()


def run(
    seed: int,
    *test: int,
    held_out: tuple[int, ...] | None = None,
    variant: str = "original",
    **changes: Any,
) -> records.Record:
    """A run of one epoch for each number of correct test images."""
    epochs = tuple(
        Epoch(
            number=number,
            training_loss=0.3,
            train=Score(54_000, 55_000, 0.2),
            validation=Score(held, 5_000, 0.1),
            test=Score(right, 10_000, 0.15),
        )
        for number, (right, held) in enumerate(
            zip(test, held_out or [4_900] * len(test), strict=True), 1
        )
    )
    return records.Record(
        config=config.variant(variant, seed=seed, epochs=len(test), **changes),
        epochs=epochs,
        folder=f"original-seed{seed}",
        sha256=f"{seed:064x}",
        seconds=90.0,
        arithmetic="compiled-1",
        versions={"tensorflow": "2.21.0"},
        device={"kind": "CPU", "name": "of the test", "cores": 2},
        data_sha256=data.SPLIT_SHA256,
        git=None,
    )


def curves(*finals: float, highest: float = 98.6) -> list[list[float]]:
    return [[97.0, highest + index / 100, final] for index, final in enumerate(finals)]


def test_best_is_chosen_by_held_out_images_alone() -> None:
    chosen = run(0, 9_800, 9_900, 9_700, held_out=(4_950, 4_940, 4_950)).best
    assert chosen.test.correct == 9_800


def test_collapse_is_a_fall_of_two_points() -> None:
    assert run(0, 9_860, 9_660).collapsed
    assert not run(0, 9_860, 9_661).collapsed
    assert not run(0, 9_860, 9_000, 9_800).collapsed
    assert sum(map(reference.collapsed, RECORDED)) == 6


def test_study_file_keeps_everything(tmp_path: Path) -> None:
    runs = [run(0, 9_800, 9_827), run(1, 9_850, 5_000)]
    records.write(tmp_path / "study.json", runs)
    assert records.read([tmp_path / "study.json"]) == runs


def test_what_is_not_a_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text(json.dumps({"runs": []}))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{}")
    for name, message in (
        ("none", "none holds no finished run"),
        ("broken", "broken/result.json is not what a finished run leaves: it lacks best_by_val"),
        ("file.json", "file.json is not a study file: it lacks epoch_columns"),
    ):
        with pytest.raises(DataError, match=message):
            records.read([tmp_path / name])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (run(1, 9_800, units=64), "differ in units"),
        (dataclasses.replace(run(1, 9_800), data_sha256={"train": "x"}), "differ in data"),
        (dataclasses.replace(run(1, 9_800), arithmetic="keras-1"), "differ in arithmetic"),
        (run(0, 9_800), "seed 0 is there twice"),
    ],
)
def test_unlike_runs_are_not_pooled(other: records.Record, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        records.pooled([run(0, 9_800), other])


@pytest.mark.parametrize(
    ("kernel", "arithmetic"),
    [
        ("keras", "compiled-1"),
        ("fast", "compiled-1"),
        ("auto", "earlier"),
        ("auto", "compiled-0"),
        ("auto", "compiled-1 "),
    ],
)
def test_arithmetic_that_a_kernel_cannot_come_to(
    kernel: str, arithmetic: str, tmp_path: Path
) -> None:
    forged = dataclasses.replace(run(0, 9_800, kernel=kernel), arithmetic=arithmetic)
    records.write(tmp_path / "study.json", [forged])
    with pytest.raises(DataError, match=f"arithmetic '{arithmetic}' is none of kernel {kernel}"):
        records.read([tmp_path / "study.json"])


def test_pooled_by_variant_and_seed() -> None:
    runs = [run(2, 9_800), run(0, 9_700, variant="document"), run(1, 9_800)]
    groups = records.pooled(runs)
    assert {name: [one.config.seed for one in group] for name, group in groups.items()} == {
        "original": [1, 2],
        "document": [0],
    }


def test_intervals_are_those_of_the_textbook() -> None:
    # Wilson (1927) by its formula, z = 1.959964; Clopper-Pearson for 0 of n: 1 - 0.025^(1/n).
    p, n, z = 0.9827, 10_000, 1.959964
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert statistics.wilson(98.27, n) == pytest.approx(
        (100 * (centre - half), 100 * (centre + half))
    )
    low, high = statistics.rate(0, 20).interval
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_original_against_itself_is_reproduced() -> None:
    result = statistics.against_recorded(RECORDED, RECORDED)
    assert result.difference == 0
    verdict = statistics.verdict(result, RECORDED, RECORDED)
    assert verdict.word == "REPRODUCED"
    assert verdict.runs_needed is None


@pytest.mark.parametrize(
    ("ours", "word"),
    [
        ([[accuracy - 0.5 for accuracy in curve] for curve in RECORDED], "LOWER"),
        ([[accuracy + 0.5 for accuracy in curve] for curve in RECORDED], "HIGHER"),
        # As high on the way, but no run collapses.
        (curves(*[98.4 + index / 100 for index in range(11)]), "HIGHER"),
        # As high on the way, but all collapse.
        (curves(*[30.0 + index for index in range(11)]), "LOWER"),
        # Two runs, far apart.
        ([[98.9, 97.9], [98.2, 93.0]], "INCONCLUSIVE"),
    ],
)
def test_verdicts(ours: list[list[float]], word: str) -> None:
    result = statistics.against_recorded(ours, RECORDED)
    verdict = statistics.verdict(result, ours, RECORDED)
    assert verdict.word == word, verdict
    assert (verdict.runs_needed or 0) > 2 or word != "INCONCLUSIVE"


def test_verdict_says_that_no_number_of_runs_would_do() -> None:
    (path,) = records.COMMITTED.glob("original_hidden.json")
    ours = [run.test_curve for run in records.read([path])]
    verdict = statistics.judge(ours, RECORDED)
    assert (verdict.word, verdict.runs_needed) == ("INCONCLUSIVE", None)
    assert "no number of runs settles it against 11 recorded" in verdict.explanation


def test_false_alarm_of_a_median() -> None:
    assert statistics.false_alarm(0.3, runs=1) == pytest.approx(0.3)
    # Two or three of three miss: 3 * 0.3^2 * 0.7 + 0.3^3.
    assert statistics.false_alarm(0.3, runs=3) == pytest.approx(0.216)
    assert statistics.false_alarm(0, runs=5) == 0
