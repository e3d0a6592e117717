"""Flags of the recipe: what a run may do differently."""

import dataclasses
import math

from absl import flags

from lstm_mnist import config
from lstm_mnist.commands import common
from lstm_mnist.recurrence import library
from lstm_mnist.system.errors import UsageError

_DEFAULT = config.Config()
_EPOCHS = flags.DEFINE_integer("epochs", _DEFAULT.epochs, "Passes of training.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    _DEFAULT.batch_size,
    "Examples per training step.",
    lower_bound=1,
    upper_bound=55_000,
)
_LEARNING_RATE = flags.DEFINE_float("learning_rate", _DEFAULT.learning_rate, "Adam's step size.")
flags.register_validator(
    "learning_rate", lambda rate: math.isfinite(rate) and rate > 0, "must be a number above 0"
)
_UNITS = flags.DEFINE_integer(
    "units", _DEFAULT.units, "Size of each layer's states.", lower_bound=1
)
_NETWORK = flags.DEFINE_enum(
    "network",
    _DEFAULT.network,
    list(config.NETWORKS),
    "Short for --cell, --bidirectional and --layers: a simple RNN or an LSTM; bi: and a second one "
    "from the last time step to the first; deep: in two layers.",
)
_CELL = flags.DEFINE_enum(
    "cell", None, config.CELLS, "Simple RNN or LSTM. By default the network's."
)
_BIDIRECTIONAL = flags.DEFINE_bool(
    "bidirectional", None, "Read the time steps in both directions. By default the network's."
)
_LAYERS = flags.DEFINE_integer(
    "layers", None, "Layers on top of each other. By default the network's.", lower_bound=1
)
_CONTEXT = flags.DEFINE_integer(
    "context",
    _DEFAULT.context,
    "Time steps that the network sees, the last ones.",
    lower_bound=1,
    upper_bound=config.STEPS,
)
_BLANKS = flags.DEFINE_integer(
    "blanks", _DEFAULT.blanks, "Blank time steps that follow the image.", lower_bound=0
)
_READOUT = flags.DEFINE_enum(
    "readout", None, config.READOUTS, "State that the dense layer reads. By default the variant's."
)
_RECURRENT_ACTIVATION = flags.DEFINE_enum(
    "recurrent_activation",
    None,
    config.RECURRENT_ACTIVATIONS,
    "Activation of the gates. By default the variant's.",
)
_SCAN = flags.DEFINE_enum("scan", None, config.SCANS, "Time step. By default the variant's.")
_SCHEDULE = flags.DEFINE_enum(
    "schedule",
    None,
    config.SCHEDULES,
    "Learning rate over the run: constant, or falling to 0 by a cosine. By default the variant's.",
)
_EPSILON = flags.DEFINE_float(
    "epsilon", None, "Adam's epsilon. By default the variant's.", lower_bound=0.0
)
# Flags that stand for several settings.
_SHORT_FOR = {"variant": config.VARIANTS, "network": config.NETWORKS}


def given() -> set[str]:
    """Return the names of the settings that flags on the command line decide."""
    present = {name for name in flags.FLAGS if flags.FLAGS[name].present}
    for flag in present & set(_SHORT_FOR):
        present |= {name for named in _SHORT_FOR[flag].values() for name in named}
    return present & {field.name for field in dataclasses.fields(config.Config)}


def settings(variant: str, seed: int) -> config.Config:
    """Return a variant's Config with what the flags change in it. Raises UsageError."""
    library.choose(common.KERNEL.value)  # which refuses a kernel that is not there
    parts = {
        "cell": _CELL.value,
        "bidirectional": _BIDIRECTIONAL.value,
        "layers": _LAYERS.value,
        "readout": _READOUT.value,
        "recurrent_activation": _RECURRENT_ACTIVATION.value,
        "scan": _SCAN.value,
        "schedule": _SCHEDULE.value,
        "epsilon": _EPSILON.value,
    }
    chosen = config.variant(
        variant,
        seed=seed,
        epochs=_EPOCHS.value,
        batch_size=_BATCH_SIZE.value,
        learning_rate=_LEARNING_RATE.value,
        units=_UNITS.value,
        context=_CONTEXT.value,
        blanks=_BLANKS.value,
        kernel=common.KERNEL.value,
        **{
            **config.NETWORKS[_NETWORK.value],
            **{name: value for name, value in parts.items() if value is not None},
        },
    )
    if chosen.cell == "rnn":
        for flag in (_READOUT, _RECURRENT_ACTIVATION):
            if flag.value is not None:
                raise UsageError(
                    f"--{flag.name}={flag.value}: a simple RNN has one state and no gates; "
                    "leave the flag away, or take an LSTM"
                )
    return chosen
