"""The tables and the picture of the study to 90 epochs, of runs that nobody trained."""

import dataclasses
from pathlib import Path

import pytest
from made import made_run

from benchmarks import collapse
from lstm_mnist import config
from lstm_mnist.results import EpochDynamics
from lstm_mnist.studies import records


def runs(variant: str, *falls: int | None) -> list[records.Record]:
    """Runs of 90 epochs that fall in these epochs; the gain of one that falls is the larger."""
    made = []
    for seed, fall in enumerate(falls):
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
        "original": runs("original", 20, 30, 31, None),
        "original_clipped": runs("original_clipped", None, None, None, None),
        "document": runs("document", 70, None, None, None),
    }


def test_shares_that_have_fallen(groups: dict[str, list[records.Record]]) -> None:
    head, _, original, clipped, document = collapse.table_of_falls(groups).splitlines()
    assert "fallen by 30 (95 %) | fallen by 60 (95 %) | fallen by 90 (95 %)" in head
    assert original == (
        "| `original`, 4 | 2 of 4: 50 % (7 to 93) | 3 of 4: 75 % (19 to 99) "
        "| 3 of 4: 75 % (19 to 99) | 20, 30, 31 | `compiled-1` |"
    )
    assert clipped.count("0 of 4: 0 % (0 to 60)") == 3
    assert "| none |" in clipped
    assert document.count("0 of 4") == 2
    assert "| 70 |" in document


def test_only_pairs_that_are_there_are_compared(groups: dict[str, list[records.Record]]) -> None:
    _, _, *rows = collapse.table_of_tests(groups).splitlines()
    assert [row.split(" | ")[0] for row in rows] == [
        "| `original`, `document`",
        "| `original`, `original_clipped`",
    ]
    assert [row.split(" | ")[1] for row in rows] == ["3 of 4, 1 of 4", "3 of 4, 0 of 4"]


def test_gain_before_a_fall_is_set_beside_those_that_stand(
    groups: dict[str, list[records.Record]],
) -> None:
    # After epoch 19 stand: three of `original`, of which two fall later, and four of `document`.
    variant, seed, fall, own, others = collapse.announcements(groups)[0]
    assert (variant, seed, fall) == ("original", 0, 20)
    assert own == pytest.approx(2 * 19 / 90)
    assert others == pytest.approx(19 / 90)
    last = collapse.table_of_announcements(groups).splitlines()[-1]
    assert last == "| sign test, larger | 4 of 4 | p 0.062 | |"


def test_picture_and_nothing(groups: dict[str, list[records.Record]], tmp_path: Path) -> None:
    collapse.draw(groups, tmp_path / "falls.svg")
    picture = (tmp_path / "falls.svg").read_text(encoding="utf-8")
    assert "<svg" in picture
    assert collapse.read(tmp_path / "none.json") == {}
    for table in (
        collapse.table_of_falls,
        collapse.table_of_tests,
        collapse.table_of_announcements,
    ):
        assert table({}) == collapse.NOTHING
