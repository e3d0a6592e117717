"""SIGTERM and Ctrl-C: the first one asks the program to end, a second one ends it at once.

Python calls a signal's handler only between two instructions of the main thread, and a call into
TensorFlow may take long. A thread that every signal wakes makes sure that the program ends.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping

NAMES: Mapping[int, str] = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
PATIENCE = 9.0  # seconds from the first signal to the end; `docker stop` kills after 10
# Within this many seconds, two signals count as one: `timeout` signals the process and its group.
TWICE = 0.5


class _Interrupt(KeyboardInterrupt):
    """Raised for a signal.

    After a plain KeyboardInterrupt has passed through code executed from a string, as happens when
    dataclasses are defined, Python ends as if by SIGINT, whatever the exit code.
    """


class _Request:
    number = 0  # of the first signal
    raises = False


def install() -> None:
    """Handle SIGTERM and SIGINT from now on, for the life of the process."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in NAMES:
        signal.signal(number, _ask)
    threading.Thread(target=_ensure_end, args=(reader,), daemon=True).start()


def received() -> int:
    """Return the number of the signal that asked the program to end, or 0."""
    return _Request.number


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Make a signal raise KeyboardInterrupt in the body, or at once if one came before."""
    _Request.raises = True
    try:
        if _Request.number:
            raise _Interrupt
        yield
    finally:
        _Request.raises = False


@contextlib.contextmanager
def postponed() -> Iterator[Callable[[], bool]]:
    """Within `raising`, yield a function that tells whether a signal came, raising nothing yet.

    Raises KeyboardInterrupt at the end if one did.
    """
    _Request.raises = False
    try:
        yield lambda: bool(_Request.number)
    finally:
        _Request.raises = True
    if _Request.number:
        raise _Interrupt


def _ask(number: int, frame: object) -> None:
    if not _Request.number:
        _Request.number = number
        if _Request.raises:
            raise _Interrupt


def _ensure_end(reader: int) -> None:
    while (number := os.read(reader, 1)[0]) not in NAMES:
        pass
    time.sleep(TWICE)
    with contextlib.suppress(BlockingIOError):
        os.set_blocking(reader, False)
        while os.read(reader, 1):
            pass
    select.select([reader], [], [], PATIENCE - TWICE)
    with contextlib.suppress(OSError):  # where nobody can be told, the end comes all the same
        os.write(2, f"lstm_mnist: {NAMES[number]} at once\n".encode())
    os._exit(128 + number)
