"""The compiled kernel's library: which build of it this processor runs, and its arithmetic."""

import contextlib
import importlib.machinery
import platform
from pathlib import Path
from typing import NamedTuple

from lstm_mnist.config import SETTINGS
from lstm_mnist.system.errors import UsageError

# Changes whenever the bits of a run's results do: another order of sums, approximation, optimizer
# or initial weight. tests/reproduction/test_arithmetic.py holds the kernel's bits to it.
VERSION = 1

NOT_BUILT = (
    "the compiled kernel was not built: install a C++ compiler and run "
    "`pip install --no-deps --editable .`"
)


class Build(NamedTuple):
    """A build of the kernel, and the processor features it needs, by Linux's names."""

    name: str
    features: frozenset[str]
    # Without a fused multiply-add, each of a product's sums is rounded once more.
    fused: bool


# A build for each level of x86-64, the best first; other machines have one build.
BUILDS = {
    "x86_64": (
        Build("v4", frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}), True),
        Build("v3", frozenset({"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"}), True),
        Build("v1", frozenset(), False),
    ),
}
_OTHER = (Build("generic", frozenset(), platform.machine() in ("aarch64", "arm64")),)


def path(build: Build) -> Path:
    """Return where a build's library is, if it was made."""
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    return Path(__file__).parent / f"_kernel_{build.name}{suffix}"


def best() -> Build | None:
    """Return the best build that was made for this processor, or None."""
    features = processor_features()
    builds = BUILDS.get(platform.machine(), _OTHER)
    usable = (build for build in builds if build.features <= features and path(build).exists())
    return next(usable, None)


def choose(kernel: str) -> str:
    """Return which kernel computes on the CPU, "compiled" or "keras", given a --kernel.

    Raises UsageError for "compiled" where there is none, and for what is no kernel.
    """
    if kernel not in (kernels := SETTINGS["kernel"].choices):
        raise UsageError(f"there is no kernel {kernel}; there are: {', '.join(kernels)}")
    if kernel == "compiled" and best() is None:
        raise UsageError(f"--kernel=compiled: {NOT_BUILT}, or take --kernel=keras")
    return "keras" if kernel == "keras" or best() is None else "compiled"


def processor_features() -> frozenset[str]:
    """Return the processor's features by Linux's names; none on other systems."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("flags", "Features"):
                return frozenset(value.split())
    return frozenset()


def arithmetic(kernel: str) -> str:
    """Return the name of what decides a run's bits, given its seed; see `choose` for the kernels.

    With the compiled kernel the bits are the same for any number of threads, and on every x86-64
    processor that fuses multiply and add; the names of others say so. With Keras' own layers they
    depend on both, and on a GPU, which the name does not tell.
    """
    name = f"{kernel}-{VERSION}"
    build = best() if kernel == "compiled" else None
    if build and not build.fused:
        name += "-unfused"
    if build and (machine := platform.machine()) not in BUILDS:
        name += f"-{machine or 'unknown'}"  # where TensorFlow's other operations are other code
    return name
