"""Files and folders that flags and arguments name, checked against the file system beforehand."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from absl import flags

from lstm_mnist.runs import run_folder
from lstm_mnist.system import files
from lstm_mnist.system.errors import DataError, UsageError, UserError

flags.disclaim_key_flags()  # a flag belongs to the module that calls `define`


def define(
    name: str, default: str | None, text: str, failure: type[UserError] = UsageError
) -> flags.FlagHolder[str | None]:
    """Define the flag of a path.

    Reading the flags raises `failure` for a path that the system refuses to look up: in a folder
    that must not be entered, or with a name that is too long. It raises UsageError for an empty
    one, as an unset shell variable leaves it.
    """

    def check(value: str | None) -> bool:
        if value == "":
            raise UsageError(f"--{name}= is empty: name a path, or omit the flag")
        if value is not None and value != default and (fault := files.fault(Path(value))):
            raise failure(f"--{name}={value}: {fault}")
        return True

    flag = flags.DEFINE_string(name, default, text)
    flags.register_validator(name, check)
    return flag


def check_outputs(outputs: Iterable[Path], kept: Iterable[Path] = ()) -> None:
    """Check the files that are to be written.

    Raises OutputError if one cannot be written, and UsageError if it is named twice, or would
    replace one of those to be kept or a run's.
    """
    taken = {path.resolve() for path in kept}
    for path in outputs:
        files.check_file(path)
        if path.name in run_folder.EVIDENCE and path.exists():
            raise UsageError(f"{path} is a run's: name another file")
        if path.resolve() in taken:
            raise UsageError(f"{path} is named by another flag, too: name another file")
        taken.add(path.resolve())


def of(*named: str | None) -> list[Path]:
    """Return the paths that flags and arguments name, where some are not given."""
    return [Path(name) for name in named if name]


def given(names: Sequence[str], wanted: str) -> list[Path]:
    """Return arguments as paths.

    Raises UsageError if there are none or one is empty, as an unset shell variable leaves it, and
    DataError if the system refuses to look one up.
    """
    if not names or not all(names):
        raise UsageError(wanted)
    for name in names:
        if fault := files.fault(Path(name)):
            raise DataError(f"{name}: {fault}")
    return [Path(name) for name in names]
