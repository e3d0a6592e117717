"""Starting TensorFlow quietly on the device asked for, and describing what it runs on."""

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import absl.logging

from lstm_mnist.system.errors import UsageError

DEVICES = ("auto", "cpu", "gpu")
PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy")


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(device: str, kernel: str) -> dict[str, Any]:
    """Import TensorFlow, set the device and threads of this process and describe them.

    "auto" takes a GPU where TensorFlow finds one. `kernel` is what `library.choose` returned: with
    the compiled one, TensorFlow's few other operations are set to give the same bits on all
    machines. Raises UsageError for "gpu" where there is none.
    """
    _keep_freed_memory()
    _ignore_keras_settings()
    if kernel == "compiled":
        # oneDNN's order of sums depends on the processor: leave it nothing but matrix products, and
        # those as on any processor with AVX2.
        os.environ |= {"TF_ENABLE_ONEDNN_OPTS": "0", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    absl.logging.set_verbosity(absl.logging.ERROR)  # TFDS warns of what it then repairs
    with _native_chatter():
        import tensorflow as tf

        if device == "cpu":
            tf.config.set_visible_devices([], "GPU")
        gpus = tf.config.get_visible_devices("GPU")
        if device == "gpu" and not gpus:
            raise UsageError(
                "--device=gpu: TensorFlow finds no GPU here; take --device=cpu, or check the "
                'driver and that "tensorflow[and-cuda]" is installed'
            )
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        # On a GPU, TensorFlow would multiply with 10 bits of a float32's 23.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        if kernel == "compiled" and not gpus:
            # An operation of one thread sums in the same order on any number of cores, and a
            # second thread that looks for operations takes a core from the kernel's.
            tf.config.threading.set_inter_op_parallelism_threads(1)
            tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.list_logical_devices()  # initialises the devices while native code is quiet
    return {
        "kind": "GPU" if gpus else "CPU",
        "name": _gpu_name(tf, gpus[0]) if gpus else _cpu_name(),
        "cores": cores(),
        # TensorFlow's own numbers, where 0 stands for one thread per core.
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads() or cores(),
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads() or cores(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the arithmetic."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages}


def git_state() -> dict[str, Any] | None:
    """Return the commit this package is checked out at and whether it was changed, or None."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ("git", "-C", str(package), *arguments), capture_output=True, text=True, check=True
        ).stdout.strip()

    package = Path(__file__).parent
    try:
        # A package installed below somebody else's checkout is not at that checkout's commit.
        git("ls-files", "--error-unmatch", __file__)
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _keep_freed_memory() -> None:
    """Let the C library keep the memory that one training step freed for the next one.

    By default glibc gives it back to the system, and every page costs a fault at the next step:
    with batches of 800, more than half of the time.
    """
    top_pad = -2  # M_TOP_PAD in glibc's malloc.h
    with contextlib.suppress(OSError, TypeError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(top_pad, 256 * 2**20)


def _ignore_keras_settings() -> None:
    """Keep a user's keras.json and environment from changing what a run computes."""
    # There Keras finds no keras.json, which could ask for another backend, or for float64.
    os.environ |= {"KERAS_HOME": os.devnull, "KERAS_BACKEND": "tensorflow"}
    for limit in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
        os.environ.pop(limit, None)


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_name(tf: Any, gpu: Any) -> str:
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))


@contextlib.contextmanager
def _native_chatter() -> Iterator[None]:
    """Discard what native code prints while TensorFlow starts; Python's errors still pass.

    TensorFlow 2.21 logs to standard error before it reads TF_CPP_MIN_LOG_LEVEL. With that variable
    set, nothing is discarded, unless to 2, which a process sets for itself and those it starts.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2") != "2":
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    kept = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
