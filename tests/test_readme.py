import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from helpers import ROOT

from benchmarks import settings, study

SECTION = re.compile(r"^##+ ", re.MULTILINE)
BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
FIGURE = re.compile(r"\d[\d,.]*(?:e-?\d+)?%?")


@pytest.mark.parametrize("readme", study.READMES, ids=lambda path: path.name)
def test_tables_are_rendered_from_the_data(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    assert study.rendered(text, study.tables(study.committed())) == text


def test_table_of_settings_is_rendered_from_the_recipe() -> None:
    page = settings.PAGE.read_text(encoding="utf-8")
    assert settings.rendered(page) == page


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


def test_chinese_readme_has_the_commands_and_figures_of_the_english_one() -> None:
    english, chinese = (SECTION.split(path.read_text(encoding="utf-8")) for path in study.READMES)
    assert len(english) == len(chinese)
    for ours, theirs in zip(english, chinese, strict=True):
        title = ours.splitlines()[0]
        assert BLOCK.findall(ours) == BLOCK.findall(theirs), title
        ours, theirs = BLOCK.sub("", ours), BLOCK.sub("", theirs)
        for pattern in (CODE, FIGURE):
            counts = [
                Counter(found.rstrip(".,") for found in pattern.findall(text))
                for text in (ours, theirs)
            ]
            assert counts[0] == counts[1], f"{title}: {counts[0] - counts[1]}"
            ours, theirs = pattern.sub("", ours), pattern.sub("", theirs)


def test_table_of_faults_names_tests_that_exist() -> None:
    table = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert rows
    paths = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named, row
        for file, name in named:
            module = ast.parse(paths[file].read_text(encoding="utf-8"))
            functions = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
            assert name in functions, f"{file}::{name}"
