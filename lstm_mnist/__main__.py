"""Entry point: `python -m lstm_mnist [COMMAND] [--flag=value ...]`."""

import contextlib
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from lstm_mnist import __version__
from lstm_mnist.system import errors, signals, streams
from lstm_mnist.system.errors import UsageError, UserError

COMMANDS = {
    "train": "train the network and compare with the reported accuracy (the default)",
    "gate": "has the test accuracy dropped? Hold the program against calibrated runs",
    "verify": "replay a recorded trace of the original script and compare what comes out",
    "compare": "train many runs, or take finished ones, and judge them by statistics",
    "check": "check the accuracies of finished runs against thresholds",
    "predict": "name the digits in pictures of your own",
    "serve": "serve a page on which to draw a digit and see the network read it",
    "export": "write a network for other programs: SavedModel, LiteRT or ONNX",
}
DEFAULT_COMMAND = "train"
BROKEN_PIPE = 141  # 128 + the signal's number, as shells report it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    streams.prepare()
    message = ""
    try:
        # Early: the first process of a container ignores signals that have no handler.
        signals.install()
        streams.check()
        with signals.raising():
            code = _run(list(sys.argv[1:] if arguments is None else arguments))
            sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        number = signals.received()
        code, message = 128 + number, ": ".join((signals.NAMES[number], *interrupt.args))
    except BrokenPipeError:  # the reader of our output has exited, as `head` does
        code = BROKEN_PIPE
    except Exception as error:
        code, message = _told(error)
    if message:
        with contextlib.suppress(OSError):
            print("lstm_mnist:", message.replace("\n", "\\n"), file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        streams.end(stream)
    return code


def _told(error: Exception) -> tuple[int, str]:
    """Return the exit code for what a command raised, and the line to print."""
    known = error if isinstance(error, UserError) else errors.of_memory(error)
    if known is None and isinstance(error, OSError):
        known = streams.failure(error) or errors.of_file(error)
    if known is None:
        return errors.UNEXPECTED, errors.report(error, __version__)
    return known.exit_code, str(known)


def _run(arguments: list[str]) -> int:
    from absl import flags

    name = DEFAULT_COMMAND
    if arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
    if name not in COMMANDS:
        raise UsageError(f"there is no command {name}; the commands are: {', '.join(COMMANDS)}")
    for argument in arguments:
        # Of absl itself: it would wait for ever for a named pipe, and pass over misspelt flags.
        if refused := re.match("--?(flagfile|undefok)(=|$)", argument):
            raise UsageError(f"there is no flag --{refused[1]}: give the other flags as they are")
    _check_working_folder()
    command = importlib.import_module(f"lstm_mnist.commands.{name}")
    try:
        _, *extra = flags.FLAGS([name, *arguments])
    except (flags.Error, ValueError) as error:  # absl's own flags raise either
        raise UsageError(f"{' '.join(str(error).split())} (see {name} --help)") from error
    known = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(command)}
    for flag in map(flags.FLAGS.__getitem__, flags.FLAGS):
        if flag.present and flag.name not in known:
            raise UsageError(f"--{flag.name} is no flag of {name} (see {name} --help)")
    if flags.FLAGS.help:
        print(_help(name, flags.FLAGS.module_help(command)))
        return 0
    return command.main(extra)


def _check_working_folder() -> None:
    """Raise UsageError if the working folder was deleted, against which paths are resolved."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the working folder no longer exists: change to one that does") from error


def _help(name: str, flags: str) -> str:
    commands = "\n".join(f"  {other:8} {purpose}" for other, purpose in COMMANDS.items())
    return (
        "Usage: python -m lstm_mnist [COMMAND] [--flag=value ...]\n\n"
        f"Commands:\n{commands}\n\n"
        f"Flags of {name}:\n{flags}"
    )


if __name__ == "__main__":
    sys.exit(main())
