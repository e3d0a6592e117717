"""A faithful reproduction of a TensorFlow 1 script that trains an LSTM on the rows of MNIST.

Notebooks and tests import what they need from here; it lives in `api.py`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_mnist.api import (
        Config,
        Gate,
        Outcome,
        Plan,
        Run,
        Score,
        UserError,
        build,
        evaluate,
        gate_change,
        load,
        load_model,
        predict,
        read,
        start,
        train,
        variant,
        verify,
    )

__version__ = "1.0.0"
__all__ = [
    "Config",
    "Gate",
    "Outcome",
    "Plan",
    "Run",
    "Score",
    "UserError",
    "build",
    "evaluate",
    "gate_change",
    "load",
    "load_model",
    "predict",
    "read",
    "start",
    "train",
    "variant",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Return one of the names above, imported only when asked for; the program uses none."""
    if name in __all__:
        return getattr(importlib.import_module("lstm_mnist.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
