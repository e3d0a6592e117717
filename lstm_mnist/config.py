"""The recipe: every setting once, with its default, the default's source and the values allowed.

Flags, settings files and the table in docs/settings.md are made from this.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any, Self

from lstm_mnist.system.errors import UsageError

READOUTS = ("cell", "hidden")
RECURRENT_ACTIVATIONS = ("sigmoid", "hard_sigmoid")
SCANS = ("rows", "columns")
CELLS = ("rnn", "lstm")
SCHEDULES = ("constant", "cosine")
KERNELS = ("compiled", "keras")

STEPS = 28  # the rows, or the columns, of an image
FEATURES = 28  # the pixels of a step
CLASSES = 10
TOTALS = {"train": 55_000, "validation": 5_000, "test": 10_000}  # images of `read_data_sets`
# The smallest normal number of float32, in which a run computes, and the largest.
POSITIVE, LARGEST = 2.0**-126, (2 - 2.0**-23) * 2.0**127
COUNTABLE = 2**31 - 1  # the largest int32

SCRIPT, OURS = "the script", "ours"  # sources of defaults


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is known of a setting besides its type and default."""

    source: str  # of the default
    help: str  # of the flag
    choices: tuple[str, ...] = ()
    minimum: float = -math.inf
    maximum: float = math.inf
    # The generation of settings it came with: older files lack it, and their runs had the default.
    generation: int = 0

    def fault(self, value: Any) -> str | None:
        """Return what is wrong with a value of the setting's type, or None."""
        if self.choices:
            return None if value in self.choices else f"is none of {', '.join(self.choices)}"
        if self.allows(value):
            return None
        if self.minimum <= value <= self.maximum:
            return f"is {value}, which float32 cannot hold"
        return f"is not from {self.minimum} to {self.maximum}"

    def allows(self, value: float) -> bool:
        """Return whether a number is in range and, if fractional, one that float32 holds."""
        held = isinstance(value, int) or value == 0 or POSITIVE <= abs(value) <= LARGEST
        return held and self.minimum <= value <= self.maximum


def _setting(default: Any, source: str, text: str, **known: Any) -> Any:
    return dataclasses.field(default=default, metadata={"setting": Setting(source, text, **known)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One run's settings; the defaults are the `document` variant of the original script.

    Raises UsageError for a value of another type, or one that is not allowed.
    """

    # The script's `final_state[1]` is c under TensorFlow 1.15, whose Keras LSTMCell keeps [h, c];
    # the script's comment says h.
    readout: str = _setting("cell", SCRIPT, "State that the dense layer reads.", choices=READOUTS)
    # TensorFlow 1's Keras LSTMCell has the hard sigmoid clip(0.2 x + 0.5, 0, 1).
    recurrent_activation: str = _setting(
        "sigmoid", "section 0x04", "Activation of the gates.", choices=RECURRENT_ACTIVATIONS
    )
    # `reshape(x, [-1, 28, 28])` yields rows; the script's comment says columns.
    scan: str = _setting("rows", SCRIPT, "Time step.", choices=SCANS)
    # The document's other networks, its sections 0x01 to 0x03: a simple RNN in place of the LSTM, a
    # second recurrence from the last row to the first, and recurrences on top of each other.
    cell: str = _setting("lstm", SCRIPT, "Simple RNN or LSTM.", choices=CELLS, generation=1)
    bidirectional: bool = _setting(
        False, SCRIPT, "Read the time steps in both directions.", generation=1
    )
    layers: int = _setting(1, SCRIPT, "Layers on top of each other.", minimum=1, generation=1)
    # The document's section 0x00 is about finite contexts, 0x04 about distant ones.
    context: int = _setting(
        STEPS,
        OURS,
        "Time steps that the network sees, the last ones.",
        minimum=1,
        maximum=STEPS,
        generation=1,
    )
    blanks: int = _setting(
        0,
        OURS,
        "Blank time steps that follow the image.",
        minimum=0,
        maximum=COUNTABLE,
        generation=1,
    )
    units: int = _setting(100, SCRIPT, "Size of each layer's states.", minimum=1, maximum=COUNTABLE)
    # The script calls them iterations.
    epochs: int = _setting(30, SCRIPT, "Passes of training.", minimum=1, maximum=COUNTABLE)
    batch_size: int = _setting(
        100, SCRIPT, "Examples per training step.", minimum=1, maximum=TOTALS["train"]
    )
    learning_rate: float = _setting(0.01, SCRIPT, "Adam's step size.", minimum=POSITIVE)
    schedule: str = _setting(
        "constant",
        SCRIPT,
        "Learning rate over the run: constant, or decaying to 0 by a cosine.",
        choices=SCHEDULES,
    )
    # Keras 3 has 1e-7.
    epsilon: float = _setting(1e-8, "TensorFlow 1's AdamOptimizer", "Adam's epsilon.", minimum=0)
    clip_norm: float = _setting(
        0.0,
        SCRIPT,
        "Largest norm of all gradients together, which are scaled down to it; 0: as they are.",
        minimum=0,
        generation=2,
    )
    kernel: str = _setting(
        "auto",
        OURS,
        "Code of the recurrent layers: compiled, Keras' own, or auto: compiled where it was "
        "built, on CPUs. They are equal to float32 rounding.",
        choices=("auto", *KERNELS),
    )
    # The script sets no seed.
    seed: int = _setting(
        0,
        OURS,
        "Determines the initial weights and the order of the examples.",
        minimum=0,
        maximum=2**32 - 1,  # the largest seed of NumPy's generator
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kind = type(field.default)
            if type(value) is not kind:
                raise UsageError(f"{field.name} is {value!r:.40}, not {kind.__name__}")
            # Runs of earlier kernels are read, too; `library.choose` refuses other kernels.
            fault = field.metadata["setting"].fault(value)
            if fault and field.name != "kernel":
                raise UsageError(f"{field.name} {fault}")

    @property
    def variant(self) -> str:
        """Return the name of the variant with these settings, or "custom"."""
        for name in VARIANTS:
            named = variant(name)
            if all(getattr(self, key) == getattr(named, key) for key in OF_VARIANTS):
                return name
        return "custom"

    @property
    def network(self) -> str:
        """Return the name of the network, in which "deep" stands for two layers."""
        depth = {1: "", 2: "deep_"}.get(self.layers, f"{self.layers}_layer_")
        return f"{depth}{'bi' if self.bidirectional else ''}{self.cell}"

    def as_dict(self) -> dict[str, Any]:
        """Return the settings and the names of their variant and network as a JSON object."""
        names = {"variant": self.variant, "network": self.network}
        return {**names, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """Return the settings in a JSON object, in which others are passed over.

        Raises UsageError.
        """
        return cls(**{name: value for name, value in settings.items() if name in SETTINGS})

    def differences(self, other: "Config") -> list[str]:
        """Return the names of the settings in which two configs differ."""
        return [name for name in SETTINGS if getattr(self, name) != getattr(other, name)]


SETTINGS: Mapping[str, Setting] = {
    field.name: field.metadata["setting"] for field in dataclasses.fields(Config)
}

# A variant names a choice of the settings in which script and prose disagree, or which decide
# whether a run collapses. Here are its changes to the defaults.
DEFAULT_VARIANT = "document"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    # What ran under TensorFlow 1.15.
    "original": {"recurrent_activation": "hard_sigmoid"},
    # The same with the sigmoid gates of the document's section 0x04.
    "document": {},
    # Every statement of the prose taken literally.
    "prose": {"readout": "hidden", "scan": "columns"},
    # One change in what ran.
    "original_hidden": {"recurrent_activation": "hard_sigmoid", "readout": "hidden"},
    "original_epsilon": {"recurrent_activation": "hard_sigmoid", "epsilon": 1e-7},
    "original_cosine": {"recurrent_activation": "hard_sigmoid", "schedule": "cosine"},
    "original_clipped": {"recurrent_activation": "hard_sigmoid", "clip_norm": 1.0},
    # Two changes in what ran: sigmoid gates, and a decaying learning rate or clipped gradients.
    "stable": {"schedule": "cosine"},
    "document_clipped": {"clip_norm": 1.0},
}
VARIANTS_HELP = "Named settings, original being what the script does: " + "; ".join(
    f"{name}: {', '.join(f'{key}={value}' for key, value in settings.items()) or 'the defaults'}"
    for name, settings in VARIANTS.items()
)
# The settings of each named network with one or two layers.
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    each.network: {"cell": each.cell, "bidirectional": each.bidirectional, "layers": each.layers}
    for cell, layers, both in itertools.product(CELLS, (1, 2), (False, True))
    for each in (Config(cell=cell, layers=layers, bidirectional=both),)
}
# The settings that a variant's name decides, and those that a network's does.
OF_VARIANTS, OF_NETWORKS = (
    {setting for settings in named.values() for setting in settings}
    for named in (VARIANTS, NETWORKS)
)


def variant(name: str, **settings: Any) -> Config:
    """Return the Config of a named variant, with `settings` in place of its own.

    Raises UsageError.
    """
    if name not in VARIANTS:
        raise UsageError(f"there is no variant {name}; there are: {', '.join(VARIANTS)}")
    return Config(**{**VARIANTS[name], **settings})
