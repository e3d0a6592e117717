"""Write a network for other programs."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from lstm_mnist.commands import common, model, paths
from lstm_mnist.system import files, runtime
from lstm_mnist.system.errors import OutputError, UsageError

# Each format's default path; other paths must have the same suffix.
_PATHS = {"saved_model": "saved_model", "litert": "model.tflite", "onnx": "model.onnx"}

_FORMAT = flags.DEFINE_enum(
    "format",
    "saved_model",
    list(_PATHS),
    "saved_model: a folder for TensorFlow; litert: a file for LiteRT, which was TensorFlow Lite; "
    "onnx: a file for ONNX runtimes.",
)
_OUTPUT = paths.define(
    "output",
    None,
    "File or folder to write, which must not exist. "
    f"By default {', '.join(_PATHS.values())} by format.",
    OutputError,
)
flags.adopt_module_key_flags(model)
flags.declare_key_flag(common.HELP.name)


def main(arguments: Sequence[str]) -> int:
    """Run the command. Raises UserError."""
    common.refuse(arguments)
    model.path()
    path = Path(_OUTPUT.value or _PATHS[_FORMAT.value])
    suffix = Path(_PATHS[_FORMAT.value]).suffix
    if suffix and path.suffix != suffix:
        raise UsageError(f"--output={path}: the name of such a file ends with {suffix}")
    if path.exists():
        raise OutputError(f"--output={path} exists: name another")
    files.check_file(path)
    runtime.start("cpu", "keras")
    from lstm_mnist.digits import exports

    exports.export(model.load(), path, _FORMAT.value)
    print(f"Exported: {path}")
    return 0
