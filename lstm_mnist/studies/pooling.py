"""Finished runs in groups: those whose statistics mean something, and the package's own."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lstm_mnist.studies import records
from lstm_mnist.studies.records import Record
from lstm_mnist.system.errors import UsageError

if TYPE_CHECKING:
    from lstm_mnist.results import Epoch


def pooled(runs: Sequence[Record]) -> dict[str, list[Record]]:
    """Group runs by label, in order of seed.

    Raises UsageError where two runs of a label differ in more than the seed, share it, or came to
    the same in every epoch: their statistics would mean nothing.
    """
    groups: dict[str, list[Record]] = {}
    for run in runs:
        groups.setdefault(run.label, []).append(run)
    for name, group in groups.items():
        group.sort(key=lambda run: run.config.seed)
        _check(name, group)
    return groups


def _check(name: str, group: Sequence[Record]) -> None:
    first = group[0]
    seen: dict[int, Record] = {}
    found: dict[tuple[Epoch, ...], Record] = {}
    for run in group:
        if differences := sorted(_differences(first, run)):
            raise UsageError(
                f"{first.folder} and {run.folder} are both called {name} but differ in "
                f"{', '.join(differences)}: compare them apart"
            )
        if seen.setdefault(run.config.seed, run) is not run:
            raise UsageError(f"{name}: seed {run.config.seed} is there twice: give each run once")
        # Runs that diverged in the first epoch have no results that could tell them apart.
        trained = records.trained(run)
        if trained and (same := found.setdefault(trained, run)) is not run:
            raise UsageError(
                f"{same.folder} and {run.folder} came to the same in every epoch, although their "
                "seeds differ: one of them is no run of its own"
            )


def committed(like: Record, *, any_arithmetic: bool = False) -> list[Record]:
    """Return the runs of the package's studies with a run's settings, data and arithmetic.

    With `any_arithmetic`, those on other kinds of devices are among them, too.
    """
    path = records.COMMITTED / f"{like.label}.json"
    runs = records.read([path], diverged=True) if path.exists() else []
    allowed = {"arithmetic", "device"} if any_arithmetic else set()
    return [run for run in runs if {*_differences(run, like)} <= allowed]


def _differences(one: Record, other: Record) -> Iterable[str]:
    if one.arithmetic != other.arithmetic:
        yield "arithmetic"
    if one.device["kind"] != other.device["kind"]:  # it decides the bits of Keras' own layers
        yield "device"
    for name in one.config.differences(other.config):
        if name not in ("seed", "kernel"):  # the kernel shows in the arithmetic
            yield name
    if one.data_sha256 != other.data_sha256:
        yield "data"
