"""The recipe: every number of the original script, and what a run may do differently."""

import dataclasses
from collections.abc import Mapping
from typing import Any

READOUTS = ("cell", "hidden")
GATES = ("sigmoid", "hard_sigmoid")
SCANS = ("rows", "columns")
KERNELS = ("fast", "keras")

# A variant is a named set of the three settings in which script and prose disagree.
VARIANTS: Mapping[str, Mapping[str, str]] = {
    # What ran under TensorFlow 1.15.
    "original": {"readout": "cell", "gate": "hard_sigmoid", "scan": "rows"},
    # The same with the sigmoid gates of the document's section 0x04.
    "document": {"readout": "cell", "gate": "sigmoid", "scan": "rows"},
    # Every statement of the prose taken literally.
    "prose": {"readout": "hidden", "gate": "sigmoid", "scan": "columns"},
}
DEFAULT_VARIANT = "document"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One run's settings; the defaults are the `document` variant of the original script."""

    # Which state the dense layer reads. The script's `final_state[1]` is c under TensorFlow 1.15,
    # whose Keras LSTMCell keeps [h, c]; its comment says h.
    readout: str = VARIANTS[DEFAULT_VARIANT]["readout"]
    # Activation of the three gates. TensorFlow 1's Keras LSTMCell defaults to the hard sigmoid
    # clip(0.2 x + 0.5, 0, 1); the document's section 0x04 describes sigmoids.
    gate: str = VARIANTS[DEFAULT_VARIANT]["gate"]
    # What one time step is. `reshape(x, [-1, 28, 28])` yields rows; the comment says columns.
    scan: str = VARIANTS[DEFAULT_VARIANT]["scan"]
    units: int = 100  # the script
    epochs: int = 30  # the script, which calls them iterations
    batch_size: int = 100  # the script
    learning_rate: float = 0.01  # the script
    epsilon: float = 1e-8  # default of TensorFlow 1's AdamOptimizer; Keras has 1e-7
    # Ours: which code computes the recurrent layer, `recurrence` or Keras' RNN(LSTMCell). They are
    # equal to float32 rounding.
    kernel: str = "fast"
    # Ours: the script sets no seed. Determines the initial weights and the order of the examples.
    seed: int = 0

    @property
    def variant(self) -> str:
        """Return the name of the variant that these settings are, or "custom"."""
        for name, settings in VARIANTS.items():
            if all(getattr(self, key) == value for key, value in settings.items()):
                return name
        return "custom"

    def as_dict(self) -> dict[str, Any]:
        """Return the settings and the name of their variant as a JSON object."""
        return {"variant": self.variant, **dataclasses.asdict(self)}


def variant(name: str, **settings: Any) -> Config:
    """Return the Config of a named variant, with `settings` in place of its own."""
    return Config(**{**VARIANTS[name], **settings})
