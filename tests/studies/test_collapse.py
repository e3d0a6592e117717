"""The tables and the picture of the study to 90 epochs, of runs that nobody trained."""

import dataclasses
import itertools
from pathlib import Path

import pytest
from made import made_run

from benchmarks import collapse, verdicts
from lstm_mnist import config
from lstm_mnist.results import EpochDynamics
from lstm_mnist.studies import records


def runs(variant: str, *falls: int | None) -> list[records.Record]:
    """Ten runs of 90 epochs, the first of which fall in these epochs, with the larger gains."""
    made = []
    for seed, fall in itertools.zip_longest(range(10), falls):
        curve = [98.0 if fall is None or epoch < fall else 90.0 for epoch in range(1, 91)]
        gains = [(1 if fall is None else 2) * epoch / 90 for epoch in range(1, 91)]
        made.append(
            dataclasses.replace(
                made_run(variant, seed, curve),
                config=config.variant(variant, seed=seed, epochs=90),
                dynamics=tuple(
                    EpochDynamics(epoch, 0.1, 0.2, gain, 0.3, 0.4, 9.0, 20.0, 10.0)
                    for epoch, gain in enumerate(gains, 1)
                ),
            )
        )
    return made


@pytest.fixture(scope="module")
def groups() -> dict[str, list[records.Record]]:
    return {
        "original": runs("original", 20, 30, 31),
        "original_clipped": runs("original_clipped"),
        "original_cosine": runs("original_cosine", 90),
        "document": runs("document", 70),
        "document_clipped": runs("document_clipped"),
        "stable": runs("stable"),
    }


def test_shares_that_have_fallen(groups: dict[str, list[records.Record]]) -> None:
    head, _, original, clipped, cosine, document, *_ = collapse.table_of_falls(groups).splitlines()
    assert "fallen by 30 (95 %) | fallen by 60 (95 %) | fallen by 90 (95 %)" in head
    assert original == (
        "| `original`, 10 | 2 of 10: 20 % (3 to 56) | 3 of 10: 30 % (7 to 65) "
        "| 3 of 10: 30 % (7 to 65) | 20, 30, 31 | 98.00 (90.00 to 98.00) | `compiled-1` |"
    )
    assert clipped.count("0 of 10: 0 % (0 to 31)") == 3
    assert "| none |" in clipped
    assert cosine.count("0 of 10") == 2
    assert "| 90 |" in cosine
    assert "| 70 |" in document


def test_the_five_pairs_of_the_protocol_are_compared(
    groups: dict[str, list[records.Record]],
) -> None:
    _, _, *rows = collapse.table_of_tests(groups).splitlines()
    assert [row.split(" | ")[0] for row in rows] == [
        "| `original`, `document`",
        "| `original`, `original_clipped`",
        "| `original`, `original_cosine`",
        "| `document`, `document_clipped`",
        "| `document`, `stable`",
    ]
    assert [row.split(" | ")[1] for row in rows] == [
        "3 of 10, 1 of 10",
        "3 of 10, 0 of 10",
        "3 of 10, 1 of 10",
        "1 of 10, 0 of 10",
        "1 of 10, 0 of 10",
    ]


def test_nothing_is_tested_before_all_planned_runs_are_there(
    groups: dict[str, list[records.Record]],
) -> None:
    shorter = dataclasses.replace(
        groups["document"][9], config=config.variant("document", seed=9, epochs=60)
    )
    other = dataclasses.replace(groups["document"][9], git={"commit": "1" * 40, "changed": False})
    first = groups["document"][:9]
    for runs_of_document in ([], groups["document"][1:], [*first, shorter], [*first, other]):
        partial = {**groups, "document": runs_of_document}
        assert collapse.table_of_tests(partial) == collapse.UNFINISHED
        assert collapse.table_of_announcements(partial) == collapse.UNFINISHED
    plain = {name: groups[name] for name in ("original", "document")}
    assert collapse.table_of_tests(plain) == collapse.UNFINISHED
    assert "sign test" in collapse.table_of_announcements(plain)
    assert collapse.table_of_falls(plain).count("`, 10 |") == 2


def test_no_fall_is_no_sign_test() -> None:
    table = collapse.table_of_announcements({name: runs(name) for name in ("original", "document")})
    assert len(table.splitlines()) == 2


def test_gain_before_a_fall_is_set_beside_those_that_stand(
    groups: dict[str, list[records.Record]],
) -> None:
    # After epoch 19 stand: nine of `original`, of which two fall later, and ten of `document`.
    first = collapse.announcements(groups)[0]
    assert (first.variant, first.seed, first.fall) == ("original", 0, 20)
    assert first.own == pytest.approx(2 * 19 / 90)
    assert first.standing == first.alike == pytest.approx(19 / 90)
    last = collapse.table_of_announcements(groups).splitlines()[-1]
    assert last == "| sign test, larger | | | 4 of 4, p 0.062 | 4 of 4, p 0.062 |"


def test_gain_is_also_set_beside_those_of_the_same_gates() -> None:
    """Of `original` all fall; those of `document` stand, with gains twice as large."""
    fallen, standing = runs("original", *range(20, 30)), runs("document")
    doubled = [
        dataclasses.replace(
            run, dynamics=tuple(point._replace(gain=4 * point.epoch / 90) for point in run.dynamics)
        )
        for run in standing
        if run.dynamics
    ]
    found = collapse.announcements({"original": fallen, "document": doubled})
    assert all(each.own < each.standing for each in found)
    assert [each.alike is None for each in found] == [False] * 9 + [True]
    assert all(each.own == each.alike for each in found[:9])


def test_fall_in_the_first_epoch_has_no_gain_before_it() -> None:
    plain = {"original": runs("original", 1), "document": runs("document")}
    assert collapse.announcements(plain) == []


def test_picture_and_nothing(groups: dict[str, list[records.Record]], tmp_path: Path) -> None:
    collapse.draw(groups, tmp_path / "falls.svg")
    picture = (tmp_path / "falls.svg").read_text(encoding="utf-8")
    assert "<svg" in picture
    assert collapse.read(tmp_path / "none") == {}
    assert collapse.table_of_falls({}) == verdicts.NOTHING
