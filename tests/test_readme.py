"""What the pages say: README, docs and the files beside the code, in both languages."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import settings, study
from lstm_mnist import config
from lstm_mnist.__main__ import COMMANDS
from lstm_mnist.studies import calibration, statistics

ROOT = study.ROOT
DOCS = ROOT / "docs"
FOLDERS = ("docs", "lstm_mnist", "original", "tests", "benchmarks")
PAGES = [
    *ROOT.glob("*.md"),
    *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md")),
]
# Pages of docs that are not translated.
ENGLISH_ONLY = {"design.md", "faults.md", "settings.md"}
PAIRS = [
    (ROOT / "README.md", ROOT / "README.zh.md"),
    *(
        (page, DOCS / "zh" / page.name)
        for page in DOCS.glob("*.md")
        if page.name not in ENGLISH_ONLY
    ),
]

SECTION = re.compile(r"^##+ ", re.MULTILINE)
BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
FIGURE = re.compile(r"\d[\d,.]*(?:e-?\d+)?%?")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def tables(page: Path) -> study.Tables:
    return study.tables(study.committed(), chinese=study.is_chinese(page))


@pytest.mark.parametrize("page", study.PAGES, ids=named)
def test_tables_are_rendered_from_the_data(page: Path) -> None:
    text = read(page)
    places = study.RENDERED.findall(text)
    assert text.count("Rendered by `python -m benchmarks.study`") == len(places)
    assert not places or study.rendered(text, tables(page)) == text


def test_table_of_settings_is_rendered_from_the_recipe() -> None:
    page = settings.PAGE.read_text(encoding="utf-8")
    assert settings.rendered(page) == page


@pytest.mark.parametrize("chinese", [False, True])
def test_every_table_has_one_place_in_each_language(chinese: bool) -> None:
    pages = [read(page) for page in study.PAGES if study.is_chinese(page) == chinese]
    places = Counter(name for page in pages for _, name, _ in study.RENDERED.findall(page))
    for name in study.tables(study.committed(), chinese=chinese):
        assert places[name] == 1, name


def test_studied_groups_are_all_in_the_tables() -> None:
    files = {*ROOT.glob("lstm_mnist/results/*.json")} - {calibration.COMMITTED}
    names = sorted(file.stem for file in files)
    assert names
    assert sorted(study.committed()) == names
    made = tables(ROOT / "README.md")
    networks, variants = made["networks"](), made["variants"]()
    for name in names:
        variant, _, network = name.partition("-")
        if network:
            assert f"| `{network}` | " in networks
        else:
            assert f"| `{variant}`, " in variants


def test_every_page_is_there_in_both_languages() -> None:
    chinese = {page.name for page in (DOCS / "zh").glob("*.md")}
    assert chinese == {page.name for page in DOCS.glob("*.md")} - ENGLISH_ONLY


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: named(pair[0]))
def test_chinese_page_has_the_commands_and_figures_of_the_english_one(
    pair: tuple[Path, Path],
) -> None:
    english, chinese = (SECTION.split(read(page)) for page in pair)
    assert len(english) == len(chinese)
    for ours, theirs in zip(english, chinese, strict=True):
        title = ours.splitlines()[0]
        assert BLOCK.findall(ours) == BLOCK.findall(theirs), title
        ours, theirs = (LINK.sub("]", BLOCK.sub("", text)) for text in (ours, theirs))
        for pattern in (CODE, FIGURE):
            counts = [
                Counter(found.rstrip(".,") for found in pattern.findall(text))
                for text in (ours, theirs)
            ]
            assert counts[0] == counts[1], (
                f"{title}: {counts[0] - counts[1]}, {counts[1] - counts[0]}"
            )
            ours, theirs = pattern.sub("", ours), pattern.sub("", theirs)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    text = CODE.sub("", BLOCK.sub("", read(page)))
    for link in LINK.findall(text):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(read(target)), link


def anchors(text: str) -> list[str]:
    """Return the names that GitHub gives to a page's headings."""
    headings = HEADING.findall(BLOCK.sub("", text))
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    files = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    for file, function in re.findall(r"(test_\w+\.py)(?:::(test_\w+))?", read(page)):
        assert file in files, file
        assert not function or f"def {function}(" in read(files[file]), f"{file}::{function}"


def test_table_of_faults_names_a_test_in_every_row() -> None:
    faults, *_ = SECTION.split(read(DOCS / "faults.md"))
    _, *rows = [line for line in faults.splitlines() if line.startswith("| ")]
    assert rows
    for row in rows:
        assert re.search(r"`test_\w+\.py::test_\w+`", row), row


@pytest.mark.parametrize("readme", [ROOT / "README.md", ROOT / "README.zh.md"], ids=named)
def test_readme_is_short(readme: Path) -> None:
    assert len(read(readme).splitlines()) <= 150


def test_readme_names_every_command_and_page() -> None:
    text = read(ROOT / "README.md")
    for command in COMMANDS:
        assert re.search(rf"^\| `{command}\b", text, re.MULTILINE), command
    for page in DOCS.glob("*.md"):
        assert f"(docs/{page.name})" in text, page


@pytest.mark.parametrize("command", COMMANDS)
def test_command_and_its_flags_are_documented(command: str) -> None:
    text = read(DOCS / "commands.md")
    headings = [heading for heading in HEADING.findall(text) if f"`{command}`" in heading]
    assert len(headings) == 1
    for flag in flags(command):
        assert re.search(rf"--{flag}\b", text), flag


def output_of(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "lstm_mnist", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout


def flags(command: str) -> Iterator[str]:
    """Yield the names of a command's flags, as its help has them."""
    shown = output_of(command, "--help")
    names = re.findall(r"^  (?:-h,)?--(?:\[no\])?(\w+):", shown, re.MULTILINE)
    assert "help" in names
    yield from names


def test_comparison_in_the_results_is_what_compare_prints() -> None:
    printed = output_of("compare", "--from=lstm_mnist/results/original.json")
    assert f"```\n{printed.strip()}\n```" in read(DOCS / "results.md")


@pytest.mark.parametrize(("runs", "percent"), [(1, "8.81 %"), (5, "0.60 %")])
def test_false_alarms_in_the_commands_are_those_of_the_study(runs: int, percent: str) -> None:
    highest = statistics.rate(0, 40).interval.high
    assert f"{100 * statistics.false_alarm(highest, runs):.2f} %" == percent
    assert percent in read(DOCS / "commands.md")


def test_network_in_the_readme_is_the_one_that_runs() -> None:
    from lstm_mnist import networks, training

    (source,) = PYTHON.findall(read(ROOT / "README.md"))
    shown: dict[str, Any] = {}
    exec(source, shown)
    model = shown["model"]
    settings = config.variant("original", kernel="keras")
    ours = training.compiled(networks.build(settings), settings)
    for theirs, layer in zip(model.layers[1:], ours.layers[1:], strict=True):
        for name in ("kernel_initializer", "recurrent_initializer", "bias_initializer"):
            assert type(getattr(theirs, name, None)) is type(getattr(layer, name, None)), name
    assert model.layers[1].unit_forget_bias == ours.layers[1].unit_forget_bias
    # Keras numbers the names of what a process has made.
    optimizers = [{**each.optimizer.get_config(), "name": None} for each in (model, ours)]
    assert optimizers[0] == optimizers[1]
    assert type(model.loss) is type(ours.loss)
    assert model.loss.get_config() == ours.loss.get_config()
    model.set_weights(ours.get_weights())
    images = np.random.default_rng(0).random((3, 28, 28), np.float32)
    np.testing.assert_array_equal(model(images), ours(images))
