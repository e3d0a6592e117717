"""Flags of the recipe: what a run may do differently."""

import math

from absl import flags

from lstm_mnist import config
from lstm_mnist.commands import common

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
_UNITS = flags.DEFINE_integer("units", _DEFAULT.units, "Size of the LSTM's states.", lower_bound=1)
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


def settings(variant: str, seed: int) -> config.Config:
    """Return a variant's Config with what the flags change in it."""
    parts = {
        "readout": _READOUT.value,
        "recurrent_activation": _RECURRENT_ACTIVATION.value,
        "scan": _SCAN.value,
        "schedule": _SCHEDULE.value,
        "epsilon": _EPSILON.value,
    }
    return config.variant(
        variant,
        seed=seed,
        epochs=_EPOCHS.value,
        batch_size=_BATCH_SIZE.value,
        learning_rate=_LEARNING_RATE.value,
        units=_UNITS.value,
        kernel=common.KERNEL.value,
        **{name: value for name, value in parts.items() if value is not None},
    )
