"""The recipe: every number of the original script, and what a run may do differently."""

import dataclasses
from collections.abc import Mapping
from typing import Any

READOUTS = ("cell", "hidden")
RECURRENT_ACTIVATIONS = ("sigmoid", "hard_sigmoid")
SCANS = ("rows", "columns")
STEPS = 28  # the rows, or the columns, of an image
CELLS = ("rnn", "lstm")
SCHEDULES = ("constant", "cosine")
KERNELS = ("compiled", "keras")
DEFAULT_VARIANT = "document"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One run's settings; the defaults are the `document` variant of the original script."""

    # Which state the dense layer reads. The script's `final_state[1]` is c under TensorFlow 1.15,
    # whose Keras LSTMCell keeps [h, c]; its comment says h.
    readout: str = "cell"
    # Activation of the three gates. TensorFlow 1's Keras LSTMCell defaults to the hard sigmoid
    # clip(0.2 x + 0.5, 0, 1); the document's section 0x04 describes sigmoids.
    recurrent_activation: str = "sigmoid"
    # What one time step is. `reshape(x, [-1, 28, 28])` yields rows; the comment says columns.
    scan: str = "rows"
    # The document's other networks, its sections 0x01 to 0x03: a simple RNN in place of the LSTM, a
    # second recurrence from the last row to the first, and recurrences on top of each other.
    cell: str = "lstm"
    bidirectional: bool = False
    layers: int = 1
    # Ours: how many of the time steps, the last ones, the network sees, and how many blank ones
    # follow. The document's section 0x00 tells of finite contexts, 0x04 of distant ones.
    context: int = STEPS
    blanks: int = 0
    units: int = 100  # the script
    epochs: int = 30  # the script, which calls them iterations
    batch_size: int = 100  # the script
    learning_rate: float = 0.01  # the script
    # Ours: cosine lets the learning rate fall from its value to 0 over the whole run.
    schedule: str = "constant"
    epsilon: float = 1e-8  # default of TensorFlow 1's AdamOptimizer; Keras has 1e-7
    # Ours: which code computes the recurrent layers, the compiled kernel of `recurrence` or Keras'
    # own layers; "auto" takes the compiled one where it was built, on CPUs. They are equal to
    # float32 rounding.
    kernel: str = "auto"
    # Ours: the script sets no seed. Determines the initial weights and the order of the examples.
    seed: int = 0

    @property
    def variant(self) -> str:
        """Return the name of the variant that these settings are, or "custom"."""
        for name in VARIANTS:
            named = variant(name)
            if all(getattr(self, key) == getattr(named, key) for key in _VARIED):
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


# A variant is a named set of the settings in which script and prose disagree, or which decide
# whether a run collapses: what it changes in the defaults.
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
    # Two changes in what ran: sigmoid gates, and a learning rate that falls.
    "stable": {"schedule": "cosine"},
}
# What a named network changes in the defaults.
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "rnn": {"cell": "rnn"},
    "birnn": {"cell": "rnn", "bidirectional": True},
    "deep_rnn": {"cell": "rnn", "layers": 2},
    "deep_birnn": {"cell": "rnn", "bidirectional": True, "layers": 2},
    "lstm": {},
    "bilstm": {"bidirectional": True},
    "deep_lstm": {"layers": 2},
    "deep_bilstm": {"bidirectional": True, "layers": 2},
}
_VARIED = {setting for settings in VARIANTS.values() for setting in settings}


def variant(name: str, **settings: Any) -> Config:
    """Return the Config of a named variant, with `settings` in place of its own."""
    return Config(**{**VARIANTS[name], **settings})
