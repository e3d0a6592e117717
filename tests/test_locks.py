"""The locks: all that is installed is pinned and hashed, and is what requirements*.txt ask for."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SOURCES = sorted([*ROOT.glob("requirements*.txt"), ROOT / "benchmarks" / "requirements.txt"])
PYTHONS = ("3.11", "3.12", "3.13")
# Any build of its version will do, and hashes would choose one.
IN_NO_LOCK = "torch"


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def requirements(path: Path) -> Iterator[Requirement]:
    """Yield what a file of requirements asks for, and those that it includes."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            yield from requirements(path.parent / line.removeprefix("-r "))
        elif not line.startswith("#"):
            yield Requirement(line)


def lock_of(source: Path) -> str:
    return source.with_suffix(".lock").read_text(encoding="utf-8")


def entries(source: Path) -> list[tuple[Requirement, list[str]]]:
    """Return the packages of a lock, each with its hashes."""
    lines = [line for line in lock_of(source).splitlines() if not line.lstrip().startswith("#")]
    packages = "\n".join(lines).replace("\\\n", "").splitlines()
    split = (re.split(r"\s+--hash=", package) for package in packages)
    return [(Requirement(requirement), hashes) for requirement, *hashes in split]


def versions(source: Path, python: str) -> dict[str, str]:
    """Return the versions that a lock has for a Python on Linux."""
    where = {"python_version": python, "python_full_version": f"{python}.0"}
    where |= {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
    taken: dict[str, str] = {}
    for requirement, _ in entries(source):
        if requirement.marker is None or requirement.marker.evaluate(where):
            name = canonicalize_name(requirement.name)
            assert name not in taken, f"{name} twice"
            taken[name] = str(requirement.specifier).removeprefix("==")
    return taken


@pytest.mark.parametrize("source", SOURCES, ids=named)
def test_every_package_is_pinned_and_hashed(source: Path) -> None:
    found = entries(source)
    assert found
    for requirement, hashes in found:
        assert re.fullmatch(r"==[\w.+!]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        for digest in hashes:
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest), requirement


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("source", SOURCES, ids=named)
def test_lock_has_what_is_asked_for(source: Path, python: str) -> None:
    locked = versions(source, python)
    for requirement in requirements(source):
        if requirement.name == IN_NO_LOCK:
            assert requirement.name not in locked
        else:
            assert locked[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("python", PYTHONS)
def test_locks_agree(python: str) -> None:
    """What one of them has installed, no other one changes."""
    together: dict[str, str] = {}
    for source in SOURCES:
        for name, version in versions(source, python).items():
            assert together.setdefault(name, version) == version, f"{named(source)}: {name}"


@pytest.mark.parametrize("source", SOURCES, ids=named)
def test_lock_names_no_index(source: Path) -> None:
    assert "://" not in lock_of(source)


@pytest.mark.parametrize("python", PYTHONS)
def test_kernel_is_built_by_what_is_locked(python: str) -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    locked = versions(ROOT / "requirements-build.txt", python)
    for line in pyproject["build-system"]["requires"]:
        needed = Requirement(line)
        assert locked[needed.name] in needed.specifier


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile"])
def test_what_is_fetched_is_held_to_its_hash(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if "pip install" in line]
    assert any("--require-hashes" in line for line in commands)
    for line in commands:
        fetches = "--no-deps --no-build-isolation" not in line
        assert not fetches or "--require-hashes" in line or "benchmarks/requirements.txt" in line
