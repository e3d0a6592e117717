"""What this process may use of the machine: cores and memory, as limited by system and cgroups."""

import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class _Group(NamedTuple):
    """A cgroup of this process."""

    version: int
    folder: Path


def cores(sharers: int = 1, *, proc: Path = PROC) -> int:
    """Return the number of cores this process may use, by its affinity and its cgroups' quotas.

    `sharers` processes share the quotas, of which a fraction of a core counts as a whole one.
    """
    some = hasattr(os, "sched_getaffinity")
    allowed = len(os.sched_getaffinity(0)) if some else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, cpu_quota(proc) / sharers)))


def cpu_quota(proc: Path = PROC) -> float:
    """Return how many cores' time this process's cgroups grant it, infinity without a quota.

    `proc` stands in for /proc.
    """
    return min((_quota(group) for group in _groups("cpu", proc)), default=math.inf)


def _quota(group: _Group) -> float:
    if group.version == 2:
        quota, period = [*_read(group.folder / "cpu.max").split(), "max", "max"][:2]
    else:
        quota, period = (_read(group.folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    # "max", -1 and no file at all stand for no quota.
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else math.inf


def available_memory(proc: Path = PROC) -> float:
    """Return how many bytes of memory this process can still get, infinity if that is not known.

    `proc` stands in for /proc.
    """
    return min(_of_machine(proc), _of_limit(proc), *map(_of_group, _groups("memory", proc)))


def _of_machine(proc: Path) -> float:
    for line in _read(proc / "meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 2**10
    return math.inf


def _of_limit(proc: Path) -> float:
    """Return what is left of the address space that `ulimit -v` grants."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _read(proc / "self" / "statm").split()
    if limit == resource.RLIM_INFINITY or not pages:
        return math.inf
    return max(0, limit - int(pages[0]) * resource.getpagesize())


def _of_group(group: _Group) -> float:
    limit, used = {1: ("limit_in_bytes", "usage_in_bytes"), 2: ("max", "current")}[group.version]
    granted, taken = (_read(group.folder / f"memory.{name}") for name in (limit, used))
    if not (granted.isdecimal() and taken.isdecimal()):
        return math.inf
    # Pages of files that were not used lately are given up when memory is needed.
    inactive = {1: "total_inactive_file", 2: "inactive_file"}[group.version]
    statistics = dict(line.split() for line in _read(group.folder / "memory.stat").splitlines())
    return max(0, int(granted) - int(taken) + int(statistics.get(inactive, 0)))


def _groups(controller: str, proc: Path) -> Iterator[_Group]:
    """Yield the cgroups of this process that a controller governs, and those that contain them.

    Each line of `cgroup` is "number:controllers:path", with no controllers in version 2.
    """
    for line in filter(None, _read(proc / "self" / "cgroup").split("\n")):
        _, controllers, path = line.split(":", 2)
        version = 1 if controllers else 2
        if version == 2 or controller in controllers.split(","):
            for root, mounted in _mounts(version, controller, proc):
                if Path(path).is_relative_to(root):
                    inner = Path(path).relative_to(root)
                    for folder in (inner, *inner.parents):
                        yield _Group(version, mounted / folder)


def _mounts(version: int, controller: str, proc: Path) -> Iterator[tuple[str, Path]]:
    """Yield which folder of a hierarchy of cgroups is mounted, and where.

    Each line of `mountinfo` is "number parent device root place options ... - type source options".
    """
    kind = {1: "cgroup", 2: "cgroup2"}[version]
    for line in _read(proc / "self" / "mountinfo").split("\n"):
        mount, _, system = line.partition(" - ")
        words = system.split(" ")  # the source, the one between, may be empty
        if words[0] == kind and (version == 2 or controller in words[-1].split(",")):
            _, _, _, root, place, *_ = mount.split(" ")
            yield root, Path(place)


def _read(path: Path) -> str:
    """Return what a file of the system holds, nothing if there is none.

    Names of mounts and groups may be in any encoding.
    """
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""
