"""Entry point: `python -m lstm_mnist [COMMAND] [--flag=value ...]`."""

import importlib
import os
import sys
from collections.abc import Sequence

from lstm_mnist import signals
from lstm_mnist.errors import UsageError, UserError

COMMANDS = {
    "train": "train the network and compare with the reported accuracy (the default)",
    "verify": "replay a recorded trace of the original script and compare every quantity",
    "compare": "train many runs, or take finished ones, and judge them by statistics",
    "check": "check the accuracies of finished runs against thresholds",
    "predict": "name the digits in pictures of your own",
    "serve": "serve a page on which to draw a digit and see the network read it",
    "export": "write a network for other programs: SavedModel, LiteRT or ONNX",
}
DEFAULT_COMMAND = "train"
BROKEN_PIPE = 141  # 128 + the signal's number, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    # First of all: to the first process of a container, a signal without a handler is none.
    signals.install()
    try:
        with signals.raising():
            code = _run(list(sys.argv[1:] if arguments is None else arguments))
            sys.stdout.flush()
        return code
    except UserError as error:
        print(f"lstm_mnist: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        number = signals.received()
        print(": ".join(("lstm_mnist", signals.NAMES[number], *interrupt.args)), file=sys.stderr)
        return 128 + number
    except BrokenPipeError:  # whoever read our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _run(arguments: list[str]) -> int:
    from absl import flags

    name = DEFAULT_COMMAND
    if arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
    if name not in COMMANDS:
        raise UsageError(f"there is no command {name}; the commands are: {', '.join(COMMANDS)}")
    command = importlib.import_module(f"lstm_mnist.commands.{name}")
    try:
        _, *extra = flags.FLAGS([name, *arguments])
    except flags.Error as error:
        raise UsageError(f"{' '.join(str(error).split())} (see {name} --help)") from error
    if flags.FLAGS.help:
        print(_help(name, flags.FLAGS.module_help(command)))
        return 0
    return command.main(extra)


def _help(name: str, flags: str) -> str:
    commands = "\n".join(f"  {other:8} {purpose}" for other, purpose in COMMANDS.items())
    return (
        "Usage: python -m lstm_mnist [COMMAND] [--flag=value ...]\n\n"
        f"Commands:\n{commands}\n\n"
        f"Flags of {name}:\n{flags}"
    )


if __name__ == "__main__":
    sys.exit(main())
