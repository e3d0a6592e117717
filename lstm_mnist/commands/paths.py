"""Files and folders that flags and arguments name, held against the file system beforehand."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from lstm_mnist.system import files
from lstm_mnist.system.errors import DataError, UsageError, UserError

flags.disclaim_key_flags()  # the module that calls `define` is the flag's


def define(
    name: str, default: str | None, text: str, failure: type[UserError] = UsageError
) -> flags.FlagHolder[str | None]:
    """Define the flag of a path.

    What the system refuses to look for raises `failure` when flags are read: a folder that must not
    be entered, a name that is too long.
    """

    def check(value: str | None) -> bool:
        if value is not None and value != default and (fault := files.fault(Path(value))):
            raise failure(f"--{name}={value}: {fault}")
        return True

    flag = flags.DEFINE_string(name, default, text)
    flags.register_validator(name, check)
    return flag


def given(names: Sequence[str], wanted: str) -> list[Path]:
    """Return arguments as paths.

    Raises UsageError if there are none, or an empty one, which a variable that is not set leaves,
    and DataError where the system refuses to look for one.
    """
    if not names or not all(names):
        raise UsageError(wanted)
    for name in names:
        if fault := files.fault(Path(name)):
            raise DataError(f"{name}: {fault}")
    return [Path(name) for name in names]
