"""docs/design.md: which modules may import which, and what is imported late."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import ROOT

from lstm_mnist.__main__ import main

PACKAGE = ROOT / "lstm_mnist"
# Each part imports from earlier lines alone; those of one line do not import each other, except
# for those of the second.
ORDER = (
    ("system",),
    ("config", "results", "order"),
    ("archives",),
    ("data", "recurrence", "recording"),
    ("networks",),
    ("training", "tensorflow1"),
    ("short_run",),
    ("verification", "runs", "digits"),
    ("studies",),
    ("commands", "api"),
    ("__main__",),
)
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
}
# "No TensorFlow before the flags are known to be right": these take seconds to import.
LATE = {
    "tensorflow",
    "tensorflow_datasets",
    "keras",
    "numpy",
    "scipy",
    "PIL",
    "matplotlib",
    "distributed",
    "flask",
}


def imports(path: Path, *, at_once: bool = False) -> Iterator[str]:
    """Yield what a module imports; `at_once`: only what it imports when it is imported itself."""

    def visit(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.module
                for alias in child.names:
                    name = f"{child.module}.{alias.name}"
                    package = PACKAGE.parent.joinpath(*name.split("."))
                    yield name if name in MODULES or package.is_dir() else child.module
            elif not (at_once and (isinstance(child, ast.FunctionDef) or _for_types(child))):
                yield from visit(child)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")))


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def part(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("module", MODULES)
def test_imports_flow_one_way(module: str) -> None:
    for name in imports(MODULES[module]):
        if name.startswith("lstm_mnist."):
            ours, theirs = part(module), part(name)
            allowed = (
                RANK[theirs] < RANK[ours]
                or ours == theirs
                or RANK[ours] == RANK[theirs] == RANK["config"]
            )
            assert allowed, f"{module} imports {name}"


def test_no_tensorflow_before_the_flags_are_known_to_be_right() -> None:
    reached: dict[str, str] = {}
    waiting = [name for name in MODULES if part(name) in ("__main__", "commands")]
    while waiting:
        module = waiting.pop()
        for name in imports(MODULES[module], at_once=True):
            assert name.partition(".")[0] not in LATE, f"{module} imports {name}"
            if name in MODULES and name not in reached:
                reached[name] = module
                waiting.append(name)
    assert "lstm_mnist.config" in reached


def test_package_is_installed_whole() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    built = project["tool"]["setuptools"]
    modules = {path.parent.relative_to(ROOT) for path in PACKAGE.rglob("__init__.py")}
    assert {*built["packages"]} == {".".join(path.parts) for path in modules}
    carried = {path for each in built["package-data"]["lstm_mnist"] for path in PACKAGE.glob(each)}
    for folder in ("archives", "model", "results", "templates", "traces"):
        assert {*(PACKAGE / folder).iterdir()} <= carried
    assert project["project"]["scripts"] == {"lstm-mnist": f"{main.__module__}:{main.__name__}"}
