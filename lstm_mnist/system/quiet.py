"""What is printed while TensorFlow starts: held back, and shown if the start fails."""

import contextlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator

from lstm_mnist.system.errors import UserError

_DROP, _SHOW = b"\0", b"\1"
# A separate process survives when native code ends this one.
_HOLDER = """
import os, sys
held = b""
while (part := os.read(0, 65536)) and not part.endswith((b"\\0", b"\\1")):
    held += part
died = not part and len(sys.argv) == 1
if died or part.endswith(b"\\1"):
    sys.stderr.buffer.write(held + part.removesuffix(b"\\1"))
if died:
    print("lstm_mnist: ended while TensorFlow started; what it said is above", file=sys.stderr)
"""


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold back what the body, native code included, writes to standard error; show it on failure.

    The body fails if it raises anything but a UserError, or if it ends the process, unless that is
    another's worker. Nothing is held back from a user who sets TF_CPP_MIN_LOG_LEVEL to 0 or 1; the
    variable alone does not suffice, as TensorFlow 2.21 logs before it reads it.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") in ("0", "1"):
        yield
        return
    try:
        # A worker may be ended by the process that started it, which then reports that itself.
        ended = ["untold"] if multiprocessing.parent_process() else []
        # In a session of its own, where no Ctrl-C reaches it.
        holder = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _HOLDER, *ended],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:  # no process can be started: show what is printed
        yield
        return
    assert holder.stdin
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(holder.stdin.fileno(), 2)
    holder.stdin.close()
    end = _DROP
    try:
        yield
    except Exception as error:
        end = _DROP if isinstance(error, UserError) else _SHOW
        raise
    finally:
        sys.stderr.flush()
        with contextlib.suppress(OSError):  # the holder was killed
            os.write(2, end)
        os.dup2(kept, 2)
        os.close(kept)
        holder.wait()
