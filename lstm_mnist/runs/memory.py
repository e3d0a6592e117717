"""The least memory that a run takes, and whether it is available."""

from lstm_mnist.config import CLASSES, FEATURES, Config
from lstm_mnist.system import resources
from lstm_mnist.system.errors import MachineError

_FLOAT = 4  # bytes


def check(config: Config, runs: int = 1) -> None:
    """Check that there is the least memory that `runs` runs at once take. Raises MachineError."""
    needed, available = runs * least(config), resources.available_memory()
    if needed > available:
        raise MachineError(
            f"there is not enough memory: --units={config.units}, --batch_size="
            f"{config.batch_size} and --blanks={config.blanks} take at least "
            f"{needed / 1e9:.1f} GB, and {available / 1e9:.1f} GB are available"
        )


def least(config: Config) -> int:
    """Return a lower bound on the memory, in bytes, of a run with these settings.

    It counts the weights, their gradients and Adam's two moments of each, and the states of one
    layer after every time step of a batch.
    """
    steps = config.context + config.blanks
    states = config.batch_size * steps * _directions(config) * config.units
    return _FLOAT * (4 * weights(config) + states)


def weights(config: Config) -> int:
    """Return how many weights the network of these settings has."""
    gates, bias = (4, 1) if config.cell == "lstm" else (1, 0)
    inputs = FEATURES + (config.layers - 1) * config.units  # of all layers of a direction
    rows = inputs + config.layers * (config.units + bias)
    directions = _directions(config)
    return directions * gates * config.units * rows + (directions * config.units + bias) * CLASSES


def _directions(config: Config) -> int:
    return 2 if config.bidirectional else 1
