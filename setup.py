"""Builds the compiled kernel, once for each level of x86-64, where there is a C++ compiler."""

import copy
import platform
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = "lstm_mnist/recurrence"
MACHINE = platform.machine()
BUILDS = ("v4", "v3", "v1") if MACHINE == "x86_64" else ("generic",)


def build(name: str) -> Extension:
    """Return a build of the kernel; `recurrence/library.py` chooses one when a process starts."""
    level = {"v1": "x86-64"}.get(name, f"x86-64-{name}")
    return Extension(
        f"{FOLDER.replace('/', '.')}._kernel_{name}",
        [f"{FOLDER}/operations.cpp"],
        depends=[f"{FOLDER}/{header}.h" for header in ("kernel", "products", "threads")],
        extra_compile_args=[
            *("-std=c++17", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden", "-pthread"),
            # A multiplication and an addition are fused where the source says so, and nowhere else.
            "-ffp-contract=off",
            "-g0",
            *([f"-march={level}"] if MACHINE == "x86_64" else []),
        ],
        extra_link_args=["-pthread"],
        language="c++",
        optional=True,  # without a compiler, Keras' own layers are taken
    )


class BuildApart(build_ext):
    """Keeps the builds' object files, which are of one source and made at once, apart.

    No library of earlier sources stays where the present ones do not compile; those of other
    Pythons do.
    """

    def run(self) -> None:
        """Remove what was built before, then build."""
        for folder in (Path(self.build_lib, FOLDER), *([Path(FOLDER)] if self.inplace else [])):
            for library in folder.glob(f"_kernel_*{sysconfig.get_config_var('EXT_SUFFIX')}"):
                library.unlink()
        super().run()

    def build_extension(self, ext: Extension) -> None:
        """Build in a folder of its own."""
        command = copy.copy(self)
        command.build_temp = str(Path(self.build_temp, ext.name))
        super(BuildApart, command).build_extension(ext)


setup(
    ext_modules=[build(name) for name in BUILDS],
    cmdclass={"build_ext": BuildApart},
    options={"build_ext": {"parallel": len(BUILDS)}},
)
