"""Cores and memory that cgroups leave, from made files in place of /proc and /sys/fs/cgroup."""

import math
import os
from pathlib import Path

import pytest

from lstm_mnist.system import resources


def made(tmp_path: Path, cgroup: str, mounts: list[str], files: dict[str, str]) -> Path:
    """Write what a process in cgroups finds, and return the folder in place of /proc."""
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(cgroup)
    (proc / "self" / "mountinfo").write_text("".join(f"{line}\n" for line in mounts))
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return proc


def version_2(tmp_path: Path, files: dict[str, str], root: str = "/") -> Path:
    mounts = [
        f"30 23 0:26 {root} {tmp_path}/unified rw,nosuid shared:4 - cgroup2 cgroup2 rw",
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw",
    ]
    return made(tmp_path, "0::/box/inner\n", mounts, files)


def version_1(tmp_path: Path, files: dict[str, str], root: str = "/") -> Path:
    cgroup = "4:memory:/box/inner\n1:cpu,cpuacct:/box/inner\n0::/\n"
    mounts = [
        f"32 31 0:29 {root} {tmp_path}/cpu rw - cgroup cgroup rw,cpu,cpuacct",
        f"35 31 0:32 {root} {tmp_path}/memory rw - cgroup cgroup rw,memory",
    ]
    return made(tmp_path, cgroup, mounts, files)


V1 = "cpu/box/inner/cpu.cfs_quota_us", "cpu/box/inner/cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, math.inf),
        ({"unified/box/inner/cpu.max": "max 100000"}, math.inf),
        ({"unified/box/inner/cpu.max": "150000 100000"}, 1.5),
        # The group around it grants less.
        (
            {"unified/box/inner/cpu.max": "400000 100000", "unified/box/cpu.max": "50000 100000"},
            0.5,
        ),
        (
            {"unified/box/inner/cpu.max": "max 100000", "unified/cpu.max": "200000 100000"},
            2,
        ),
    ],
)
def test_quota_of_version_2(tmp_path: Path, files: dict[str, str], quota: float) -> None:
    assert resources.cpu_quota(version_2(tmp_path, files)) == quota


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, math.inf),
        ({V1[0]: "-1", V1[1]: "100000"}, math.inf),
        ({V1[0]: "250000", V1[1]: "100000"}, 2.5),
        (
            {
                V1[0]: "-1",
                V1[1]: "100000",
                "cpu/box/cpu.cfs_quota_us": "20000",
                "cpu/box/cpu.cfs_period_us": "10000",
            },
            2,
        ),
    ],
)
def test_quota_of_version_1(tmp_path: Path, files: dict[str, str], quota: float) -> None:
    assert resources.cpu_quota(version_1(tmp_path, files)) == quota


def test_quota_of_a_container(tmp_path: Path) -> None:
    # What is mounted is the container's own group, and not the root of all.
    files = {"unified/inner/cpu.max": "max 100000", "unified/cpu.max": "100000 100000"}
    assert resources.cpu_quota(version_2(tmp_path, files, root="/box")) == 1


def test_cores_obey_quota_affinity_and_sharers(tmp_path: Path) -> None:
    allowed = len(os.sched_getaffinity(0))
    unlimited = version_2(tmp_path / "unlimited", {})
    assert resources.cores(proc=unlimited) == allowed
    for quota, cores in (("10000", 1), ("100000", 1), ("150000", 2), ("100000000", 1000)):
        files = {"unified/box/inner/cpu.max": f"{quota} 100000"}
        proc = version_2(tmp_path / quota, files)
        assert resources.cores(proc=proc) == min(cores, allowed)
        assert resources.cores(2, proc=proc) == min(math.ceil(cores / 2), allowed)


@pytest.mark.parametrize("version", [1, 2])
def test_memory_that_cgroups_leave(tmp_path: Path, version: int) -> None:
    names = {1: ("limit_in_bytes", "usage_in_bytes", "total_inactive_file"), 2: ("max", "current")}
    folder = {1: "memory/box", 2: "unified/box"}[version]
    limit, used, *_ = names[version]
    statistic = {1: "total_inactive_file", 2: "inactive_file"}[version]
    files = {
        f"{folder}/memory.{limit}": "3000000",
        f"{folder}/memory.{used}": "1000000",
        f"{folder}/memory.stat": f"anon 7\n{statistic} 400000",
        f"{folder}/inner/memory.{limit}": "max",
        f"{folder}/inner/memory.{used}": "900000",
        "proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 8000 kB",
    }
    proc = {1: version_1, 2: version_2}[version](tmp_path, files)
    assert resources.available_memory(proc) == 2_400_000
    (tmp_path / "proc" / "meminfo").write_text("MemAvailable: 2 kB\n")
    assert resources.available_memory(proc) == 2048


def test_mounts_of_any_name(tmp_path: Path) -> None:
    """Names are bytes, in which a space is escaped, and a source may be empty."""
    proc = version_2(tmp_path, {"unified/box/inner/cpu.max": "150000 100000"})
    path = proc / "self" / "mountinfo"
    odd = (b"M\xfcller", "\u3000\u2028\x85".encode())
    more = [b"41 22 0:50 / /mnt/%s rw - tmpfs  rw\n" % name for name in odd]
    path.write_bytes(b"".join(more) + path.read_bytes() + b"\n")
    assert resources.cpu_quota(proc) == 1.5


def test_this_machine_has_cores_and_memory() -> None:
    assert 1 <= resources.cores() <= len(os.sched_getaffinity(0))
    assert resources.available_memory() > 2**20
