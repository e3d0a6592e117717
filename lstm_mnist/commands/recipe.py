"""Flags of the recipe: what a run may do differently."""

from absl import flags

from lstm_mnist import config
from lstm_mnist.commands import common, settings
from lstm_mnist.recurrence import library
from lstm_mnist.system.errors import UsageError

_NETWORK = flags.DEFINE_enum(
    "network",
    config.Config().network,
    list(config.NETWORKS),
    "A simple RNN or an LSTM; bi: and a second one from the last time step to the first; deep: in "
    "two layers.",
)
# The seed is a flag of `train` alone, and the kernel one of `common`.
_OTHERS = {"kernel", "seed", *config.OF_NETWORKS}
_FLAGS = {name: settings.define(name) for name in config.SETTINGS if name not in _OTHERS}
NAMES = {_NETWORK.name, *_FLAGS}
RECORD_DYNAMICS = flags.DEFINE_bool(
    "record_dynamics",
    False,
    "Write dynamics.csv, loss, gradient norm and cell state size every 25 steps, and "
    "epoch_dynamics.csv, also gain, saturated gates and norms of weights after every epoch.",
)


def given() -> set[str]:
    """Return the names of the settings that flags on the command line decide."""
    present = {name for name in flags.FLAGS if flags.FLAGS[name].present}
    decided = present & set(config.SETTINGS)
    if "variant" in present:
        decided |= config.OF_VARIANTS
    if "network" in present:
        decided |= config.OF_NETWORKS
    return decided


def chosen(variant: str, seed: int) -> config.Config:
    """Return a variant's Config with the flags' changes. Raises UsageError."""
    library.choose(common.KERNEL.value)  # raises UsageError for a kernel that was not built
    changed = {name: flag.value for name, flag in _FLAGS.items() if flag.value is not None}
    network = config.NETWORKS[_NETWORK.value]
    made = config.variant(variant, seed=seed, kernel=common.KERNEL.value, **{**network, **changed})
    if made.cell == "rnn":
        for flag in (_FLAGS["readout"], _FLAGS["recurrent_activation"]):
            if flag.value is not None:
                raise UsageError(
                    f"--{flag.name}={flag.value}: a simple RNN has one state and no gates; "
                    "omit the flag, or take an LSTM"
                )
    return made
