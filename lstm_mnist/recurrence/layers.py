"""Recurrent layers for Keras that the compiled kernel computes."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lstm_mnist.recurrence import library
from lstm_mnist.system import runtime
from lstm_mnist.system.errors import UsageError

Tensor = Any  # a tf.Tensor; TensorFlow ships no types
# The cells' numbers in the kernel.
_SIMPLE, _GATES = 0, {"sigmoid": 1, "hard_sigmoid": 2}


def device() -> str:
    """Return the kind of device that networks compute on here, "GPU" or "CPU"."""
    return "GPU" if tf.config.get_visible_devices("GPU") else "CPU"


def choose(kernel: str) -> str:
    """Return which kernel computes here, "compiled" or "keras", given a --kernel.

    On a GPU it is Keras' own, which uses cuDNN for sigmoid gates. Raises UsageError for "compiled"
    there, or where it was not built.
    """
    if device() == "CPU":
        return library.choose(kernel)
    if kernel == "compiled":
        raise UsageError("--kernel=compiled computes on CPUs: add --device=cpu")
    return "keras"


@functools.cache
def _operations() -> Any:
    """Load the kernel. Raises RuntimeError if it is missing or TensorFlow cannot use it."""
    build = library.best()
    if build is None:
        raise RuntimeError("the compiled kernel has not been built")
    operations = tf.load_op_library(str(library.path(build)))
    if not hasattr(operations, "lstm_mnist_recurrence"):
        raise RuntimeError("the compiled kernel does not find TensorFlow's C API")
    return operations


class _FastRecurrent(keras.layers.Layer):
    """What the fast layers share.

    `return_sequences` and the initializers are Keras'. Without `inputs_gradient` the
    inputs get no gradient, which saves time where they are data. `threads` share the batch; None
    means one per core.
    """

    def __init__(
        self,
        units: int,
        *,
        cell: int,
        return_sequences: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        inputs_gradient: bool = True,
        threads: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.compute_dtype != "float32":
            raise ValueError(f"dtype must be float32, not {self.compute_dtype}")
        self.supports_jit = False  # XLA knows only its own operations
        self.units = units
        self.return_sequences = return_sequences
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.inputs_gradient = inputs_gradient
        self.threads = threads
        self._cell = cell

    def build(self, inputs_shape: Sequence[int | None], *_: Any) -> None:
        """Create kernel [F, columns] and recurrent_kernel [units, columns]."""
        columns = self.units if self._cell == _SIMPLE else 4 * self.units
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs_shape[-1], columns), initializer=self.kernel_initializer
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, columns),
            initializer=self.recurrent_initializer,
        )

    def call(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None = None,
        training: bool = False,
    ) -> tuple[Tensor, ...]:
        """Return h and the last states from inputs [B, T, F] and the first states (default: zeros).

        h is [B, units], or every step's [B, T, units] with `return_sequences`; states [B, units].
        """
        sequence, *states = self._recurrence(
            inputs, *self._weights(), *(initial_state or ()), record=bool(training)
        )
        return (sequence if self.return_sequences else states[0], *states)

    def _weights(self) -> tuple[Tensor, ...]:
        """Return kernel, recurrent kernel and bias [columns]."""
        return self.kernel, self.recurrent_kernel, tf.zeros([self.units])

    def _recurrence(self, *tensors: Tensor, record: bool) -> Sequence[Tensor]:
        """Return the sequence of outputs, empty if it is not asked for, and the last states.

        `tensors` are inputs, kernel, recurrent kernel, bias and the first states if there are any.
        Recording what the gradient needs costs memory traffic. Without it, a gradient repeats the
        forward pass.
        """
        attributes = {
            "cell": self._cell,
            "threads": self.threads or runtime.cores(),
            "initial_state": len(tensors) > 4,
            "sequences": self.return_sequences,
            "inputs_gradient": self.inputs_gradient,
        }
        forward = functools.partial(_operations().lstm_mnist_recurrence, **attributes)
        backward = functools.partial(_operations().lstm_mnist_recurrence_gradient, **attributes)
        none = tf.zeros([0, self.units])

        def pair(states: Sequence[Tensor]) -> Sequence[Tensor]:
            """Return h and c, empty where there is none."""
            return [*states, none, none][:2]

        def states_of(pair: Sequence[Tensor]) -> Sequence[Tensor]:
            return pair[:1] if self._cell == _SIMPLE else pair

        @tf.custom_gradient
        def run(
            x: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor, *first: Tensor
        ) -> tuple[Sequence[Tensor], Callable[..., Any]]:
            inputs = (x, kernel, recurrent, bias, *pair(first))
            sequence, h, c, records = forward(*inputs, record=record)

            def gradient(d_sequence: Tensor, *d_last: Tensor) -> Sequence[Tensor | None]:
                recorded = records if record else forward(*inputs, record=True)[-1]
                d_kernel, d_recurrent, d_bias, d_x, *d_first = backward(
                    x, kernel, recurrent, recorded, d_sequence, *pair(d_last), record=True
                )
                return [
                    d_x if self.inputs_gradient else None,
                    d_kernel,
                    d_recurrent,
                    d_bias,
                    *(states_of(d_first) if first else ()),
                ]

            return [sequence, *states_of([h, c])], gradient

        sequence, *states = run(*map(tf.convert_to_tensor, tensors))
        batch, steps, _ = tensors[0].shape
        sequence.set_shape([batch if self.return_sequences else 0, steps, self.units])
        for state in states:
            state.set_shape([batch, self.units])
        return [sequence, *states]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {
            "units": self.units,
            "return_sequences": self.return_sequences,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
            "inputs_gradient": self.inputs_gradient,
            "threads": self.threads,
        }


@keras.saving.register_keras_serializable(package="lstm_mnist")
class FastSimpleRNN(_FastRecurrent):
    """`SimpleRNN(units, use_bias=False, return_state=True)`, with its weights.

    The arguments are those of `_FastRecurrent`.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, cell=_SIMPLE, **kwargs)


@keras.saving.register_keras_serializable(package="lstm_mnist")
class FastLSTM(_FastRecurrent):
    """`LSTM(units, return_state=True, ...)`, with its weights.

    `recurrent_activation` is "sigmoid" or "hard_sigmoid", the latter clip(0.2 * z + 0.5, 0, 1) as
    in Keras 1 and 2; the other arguments are those of `_FastRecurrent`. Raises ValueError for
    another activation.
    """

    def __init__(self, units: int, *, recurrent_activation: str, **kwargs: Any) -> None:
        if recurrent_activation not in _GATES:
            raise ValueError(f"recurrent_activation must be one of {[*_GATES]}")
        super().__init__(units, cell=_GATES[recurrent_activation], **kwargs)
        self.recurrent_activation = recurrent_activation

    def build(self, inputs_shape: Sequence[int | None], *_: Any) -> None:
        """Create kernel [F, 4 * units], recurrent_kernel [units, 4 * units], bias [4 * units]."""
        super().build(inputs_shape)
        self.bias = self.add_weight(
            name="bias",
            shape=(4 * self.units,),
            initializer=lambda *_, **__: np.repeat(np.array([0, 1, 0, 0], np.float32), self.units),
        )

    def _weights(self) -> tuple[Tensor, ...]:
        return self.kernel, self.recurrent_kernel, self.bias

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {"recurrent_activation": self.recurrent_activation}
