"""Serve a page on which one draws a digit and sees the network read it row by row."""

import socket
from collections.abc import Sequence

from absl import flags

from lstm_mnist.commands import common, model
from lstm_mnist.system import runtime
from lstm_mnist.system.errors import UsageError

_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to serve at; 0.0.0.0 lets other machines in."
)
_PORT = flags.DEFINE_integer(
    "port", 8000, "Port to serve at; 0 takes a free one.", lower_bound=0, upper_bound=65_535
)
flags.adopt_module_key_flags(model)
flags.declare_key_flag(common.DEVICE.name)
flags.declare_key_flag(common.HELP.name)


def main(arguments: Sequence[str]) -> int:
    """Run the command until it is interrupted or terminated. Raises UserError."""
    common.refuse(arguments)
    model.path()
    with _listen(_HOST.value, _PORT.value) as listener:
        runtime.start(common.DEVICE.value, "keras")
        from lstm_mnist.digits import page, server

        served = server.create(
            page.application(model.load(), _HOST.value), listener, page.MAX_BYTES
        )
        print(f"Draw a digit at http://{_address(listener)} (Ctrl-C ends this)", flush=True)
        served.run()  # returns when a signal raises KeyboardInterrupt
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """Bind the address. Raises UsageError."""
    if not host:  # an empty host would let other machines in
        raise UsageError("--host= names no address: give one, or omit the flag")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, TypeError, UnicodeError) as error:  # TypeError of a name that is not UTF-8
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"--host={host} --port={port} cannot be taken: name another ({reason})"
        ) from error


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if listener.family == socket.AF_INET6 else f"{host}:{port}"
