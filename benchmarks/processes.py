"""Processes that wait for work without disturbing each other's threads and runtimes."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, ParamSpec, Self, TypeVar

from lstm_mnist.config import Config
from lstm_mnist.recurrence import library
from lstm_mnist.system import runtime

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Worker:
    """A process of its own, which keeps its state from call to call.

    A context manager, which ends the process when it exits.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self.call(_confine, threads)

    def call(
        self,
        function: Callable[Arguments, Result],
        *arguments: Arguments.args,
        **keywords: Arguments.kwargs,
    ) -> Result:
        """Call a function there and return its result, or raise what it raises."""
        return self._pool.submit(function, *arguments, **keywords).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def machine() -> dict[str, Any]:
    """Return what this project's runs record about the machine.

    It is asked in a process of its own: starting TensorFlow sets environment variables, which the
    other libraries' processes would inherit.
    """
    with Worker(runtime.cores()) as worker:
        return worker.call(runtime.start, "cpu", library.choose(Config.kernel))


def _confine(threads: int) -> None:
    """Leave this process no GPU, and so many cores: every library starts a thread per core."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
