"""The least memory that a run takes, and whether it is available."""

from lstm_mnist.config import STEPS, Config
from lstm_mnist.system import resources
from lstm_mnist.system.errors import MachineError

_FLOAT = 4  # bytes
_CLASSES = 10
_PIXELS = 28  # of a time step


def check(config: Config, runs: int = 1) -> None:
    """Check that there is the least memory that `runs` runs at once take. Raises MachineError."""
    needed, available = runs * least(config), resources.available_memory()
    if needed > available:
        raise MachineError(
            f"the memory does not suffice: --units={config.units}, --batch_size="
            f"{config.batch_size} and --blanks={config.blanks} take at least "
            f"{needed / 1e9:.1f} GB, and {available / 1e9:.1f} GB are available"
        )


def least(config: Config) -> int:
    """Return a lower bound on the memory, in bytes, of a run with these settings.

    It counts the weights, their gradients and Adam's two moments of each, and the states of one
    layer after every time step of a batch.
    """
    gates = 4 if config.cell == "lstm" else 1
    directions = 2 if config.bidirectional else 1
    weights, inputs = 0, _PIXELS
    for _ in range(config.layers):
        weights += directions * gates * (inputs + config.units + 1) * config.units
        inputs = directions * config.units
    weights += (inputs + 1) * _CLASSES
    steps = min(config.context, STEPS) + config.blanks
    return _FLOAT * (4 * weights + config.batch_size * steps * inputs)
