from pathlib import Path

from benchmarks import study


def test_table_of_the_study_is_rendered_from_its_data() -> None:
    readme = study.README.read_text(encoding="utf-8")
    assert study.rendered(readme, study.committed()) == readme


def test_studied_variants_are_all_in_the_table() -> None:
    files = Path(study.__file__).parents[1].glob("lstm_mnist/results/*.json")
    names = sorted(file.stem for file in files)
    assert names
    assert sorted(study.committed()) == names
    for name in names:
        assert f"| `{name}`, " in study.table(study.committed())
