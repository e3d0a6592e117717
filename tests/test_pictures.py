"""The pictures beside the tables, drawn again: the same data give the same bytes."""

from pathlib import Path

from benchmarks import record, study


def test_pictures_are_drawn_from_the_data(tmp_path: Path) -> None:
    study.draw(study.committed(), tmp_path)
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == ["blanks.svg", "collapse.svg", "context.svg", "falls.svg", "finals.svg"]
    for name in drawn:
        assert (tmp_path / name).read_bytes() == (record.FOLDER / name).read_bytes(), name
