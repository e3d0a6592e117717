from pathlib import Path

from benchmarks import study


def test_tables_are_rendered_from_the_data() -> None:
    readme = study.README.read_text(encoding="utf-8")
    assert study.rendered(readme, study.tables(study.committed())) == readme


def test_studied_groups_are_all_in_the_tables() -> None:
    files = Path(study.__file__).parents[1].glob("lstm_mnist/results/*.json")
    names = sorted(file.stem for file in files)
    assert names
    assert sorted(study.committed()) == names
    tables = study.tables(study.committed())
    for name in names:
        variant, _, network = name.partition("-")
        if network:
            assert f"| `{network}` | " in tables["networks"]
        else:
            assert f"| `{variant}`, " in tables["variants"]
