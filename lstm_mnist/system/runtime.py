"""Starting TensorFlow quietly on the device asked for, and describing what it runs on."""

import contextlib
import ctypes
import gc
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import absl.logging

from lstm_mnist.system import quiet, resources
from lstm_mnist.system.errors import MachineError, UsageError, first_line

DEVICES = ("auto", "cpu", "gpu")
PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy")

# What Keras computes with. We set it before Keras is imported.
KERAS = {"backend": "tensorflow", "floatx": "float32", "image_data_format": "channels_last"}


# Variables that change what is computed, or how long.
UNHEARD = (
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
    "ONEDNN_MAX_CPU_ISA",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_FUNCTION_JIT_COMPILE_DEFAULT",
    "TF_XLA_FLAGS",
)


# oneDNN's order of sums depends on the processor: it is left nothing but matrix products, and those
# as on any processor with AVX2.
COMPILED = {"TF_ENABLE_ONEDNN_OPTS": "0", "ONEDNN_MAX_CPU_ISA": "AVX2"}


class _Started:
    sharers = 1  # processes among which this one shares the machine
    kernel: str | None = None  # what TensorFlow was started for


def cores() -> int:
    """Return the number of cores this process may use."""
    return resources.cores(_Started.sharers)


def started_for() -> str | None:
    """Return the kernel that `start` was called with, None before."""
    return _Started.kernel


def start(device: str, kernel: str, *, sharers: int = 1) -> dict[str, Any]:
    """Import TensorFlow, set the device and threads of this process and describe them.

    "auto" takes a GPU where TensorFlow finds one. `kernel` is what `library.choose` returned: with
    the compiled one, TensorFlow's few other operations are set to give the same bits on all
    machines. `sharers` processes, of which this is one, share the machine. Raises UsageError for
    "gpu" if there is none, and where TensorFlow or Keras was imported before with other settings,
    and MachineError if TensorFlow does not start.
    """
    if device not in DEVICES:
        raise UsageError(f"there is no device {device}; there are: {', '.join(DEVICES)}")
    _Started.sharers = sharers
    _keep_freed_memory()
    _set_environment(kernel)
    absl.logging.set_verbosity(absl.logging.ERROR)  # TFDS warns of what it then repairs
    try:
        with quiet.held_back(), _hidden("matplotlib"), uncollected():
            keras, tf = _imported()
            gpus = _set_device(tf, device)
            _set_threads(tf, one=kernel == "compiled" and not gpus)
            tf.config.list_logical_devices()  # initialises the devices while native code is quiet
            settings = {name: getattr(keras.config, name)() for name in KERAS}
    except RuntimeError as error:
        raise MachineError(f"TensorFlow does not start: {_cause(error)}") from error
    if settings != KERAS:
        raise UsageError(
            f"Keras was imported with {settings}, and not with {KERAS}: start before it is imported"
        )
    _Started.kernel = kernel
    return {
        "kind": "GPU" if gpus else "CPU",
        "name": _gpu_name(tf, gpus[0]) if gpus else _cpu_name(),
        "cores": cores(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "keras": settings,
    }


def _imported() -> tuple[Any, Any]:
    """Import Keras and TensorFlow. Raises RuntimeError where what they need does not fit."""
    try:
        import keras
        import tensorflow as tf
    except MemoryError:
        raise
    except Exception as error:  # protobuf, for one, raises a TypeError
        raise RuntimeError from error
    return keras, tf


def _set_device(tf: Any, device: str) -> list[Any]:
    """Set which devices TensorFlow sees, and return the GPUs. Raises UsageError."""
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    gpus: list[Any] = tf.config.get_visible_devices("GPU")
    if device == "gpu" and not gpus:
        raise UsageError(
            "--device=gpu: TensorFlow finds no GPU here; take --device=cpu, or check the "
            'driver and that "tensorflow[and-cuda]" is installed'
        )
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    # On a GPU, TensorFlow would multiply with 10 of the 23 bits of a float32's fraction.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if gpus:
        # By default, two runs of one seed may end there with different bits.
        tf.config.experimental.enable_op_determinism()
    return gpus


def _set_threads(tf: Any, *, one: bool) -> None:
    """Set how many threads TensorFlow has: by default one per core, whatever a cgroup grants.

    With `one` thread an operation sums in the same order on any number of cores; a second thread
    looking for operations would take a core from the compiled kernel's threads.
    """
    threads = 1 if one else cores()
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)


def _cause(error: BaseException) -> str:
    """Return the first line of an error's root cause: TensorFlow's quote whole tracebacks."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return first_line(error)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the arithmetic."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages}


def git_state() -> dict[str, Any] | None:
    """Return the commit this package is checked out at and whether it was changed.

    None where that is not known: outside a checkout, or without git. What is in the checkout's
    folders of results does not count, nor do new files elsewhere than in this package: a run's own
    output may be one.
    """
    package = Path(__file__).parents[1]
    # A container's root may run the checkout of another user, whom git would not trust. What runs
    # here is that checkout's code already; one further up is not.
    trusted = f"safe.directory={package.resolve().parent}"
    command = ("git", "-c", trusted, "-C", str(package))

    def git(*arguments: str) -> str:
        finished = subprocess.run((*command, *arguments), capture_output=True, check=True)
        return finished.stdout.decode(errors="replace").strip()  # names may be in any encoding

    try:
        # A package installed below somebody else's checkout is not at that checkout's commit.
        git("ls-files", "--error-unmatch", __file__)
        results = ":(top,exclude)*/results/*"
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", results)
        new = git("ls-files", "--others", "--exclude-standard", "--", str(package), results)
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(changed or new)}
    except (OSError, subprocess.CalledProcessError):
        return None


def program_sha256() -> str:
    """Return the SHA-256 of this package's sources, which tells states of a program apart."""
    package = Path(__file__).parents[1]
    sha256 = hashlib.sha256()
    for path in sorted(each for kind in ("py", "cpp", "h") for each in package.rglob(f"*.{kind}")):
        if path.is_file():  # an editor's lock is a link that leads nowhere
            content = path.read_bytes()
            sha256.update(os.fsencode(path.relative_to(package)) + b" %d\n" % len(content))
            sha256.update(content)
    return sha256.hexdigest()


def _keep_freed_memory() -> None:
    """Let the C library keep the memory that one training step freed for the next one.

    By default glibc returns it to the system, and every page then costs a fault at the next step:
    with batches of 800, more than half of the time.
    """
    top_pad = -2  # M_TOP_PAD in glibc's malloc.h
    with contextlib.suppress(OSError, TypeError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(top_pad, 256 * 2**20)


def _set_environment(kernel: str) -> None:
    """Set what TensorFlow and Keras read from the environment when they are imported.

    A user's keras.json and environment do not change what a run computes. Raises UsageError where
    TensorFlow has been imported without what the compiled kernel's arithmetic needs.
    """
    needed = COMPILED if kernel == "compiled" else {}
    if "tensorflow" in sys.modules and not needed.items() <= os.environ.items():
        raise UsageError(
            "TensorFlow was imported before, and rounds as the processor has it: start first, or "
            'take kernel="keras"'
        )
    # Hides keras.json from Keras, which could ask for another backend or for float64.
    os.environ |= {"KERAS_HOME": os.devnull, "KERAS_BACKEND": KERAS["backend"]}
    for variable in UNHEARD:
        os.environ.pop(variable, None)
    # Modules that TensorFlow imports ask for a folder for tests, and write nothing there.
    os.environ.setdefault("TEST_TMPDIR", os.devnull)
    os.environ |= needed


@contextlib.contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Make imports of a package fail, unless it is imported already.

    Keras imports Matplotlib if it can, for pictures that we do not draw. That takes time, and a
    folder for Matplotlib's cache, which a machine may not have.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Make the garbage collector ignore what the body creates, now and when the process ends.

    Of the 450,000 objects of TensorFlow's modules hardly any is ever garbage, and looking for it
    took more than a third of the time of a process that only starts and ends.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_name(tf: Any, gpu: Any) -> str:
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
