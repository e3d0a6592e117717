"""An LSTM layer that is fast on CPUs: plain TensorFlow ops and a hand-written gradient.

Where the time goes, and what is done about it:

* A product of 100 rows does not scale over threads; two of 50 rows side by side do. The batch is
  split into shards, and each shard runs its whole loop on one inter-op thread, which is why
  `runtime.start` gives TensorFlow one inter-op thread per core and one intra-op thread.
* Weight gradients are one product over all steps, made after the backward loop.
* The bias is the weight of an input that is always 1, and the constants of a hard sigmoid are
  folded into the weights, so that a step is one product and a few element-wise ops.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lstm_mnist import runtime

Tensor = Any  # a tf.Tensor; TensorFlow ships no types


class _Gate(NamedTuple):
    """A gate, `function(slope * z + offset)`; `gradient(y, dy)` is that of `function`."""

    slope: float
    offset: float
    function: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]


class _Step(NamedTuple):
    """What the backward pass needs of one step: [B, F + 1 + units], then [B, units] each."""

    inputs: Tensor  # the step's [x, 1, h]
    cell: Tensor  # the cell state before the step
    input_gate: Tensor
    forget_gate: Tensor
    candidate: Tensor
    output_gate: Tensor
    squashed: Tensor  # tanh of the cell state after the step


def _clip(z: Tensor) -> Tensor:
    """Clip to [0, 1]; any shape."""
    zero, one = tf.zeros((), z.dtype), tf.ones((), z.dtype)
    return tf.raw_ops.ClipByValue(t=z, clip_value_min=zero, clip_value_max=one)


def _clip_gradient(y: Tensor, dy: Tensor) -> Tensor:
    """Pass `dy` where the clipped `y` is strictly inside (0, 1); any shape."""
    # Relu6Grad passes where 0 < features < 6, in one op instead of two comparisons and a select.
    return tf.raw_ops.Relu6Grad(gradients=dy, features=6 * y)


def _sigmoid_gradient(y: Tensor, dy: Tensor) -> Tensor:
    """Return dy * y * (1 - y); any shape."""
    return tf.raw_ops.SigmoidGrad(y=y, dy=dy)


def _tanh_gradient(y: Tensor, dy: Tensor) -> Tensor:
    """Return dy * (1 - y * y); any shape."""
    return tf.raw_ops.TanhGrad(y=y, dy=dy)


_GATES = {
    "sigmoid": _Gate(1.0, 0.0, tf.sigmoid, _sigmoid_gradient),
    "hard_sigmoid": _Gate(0.2, 0.5, _clip, _clip_gradient),
}

# Inlined, the shards' ops would be scheduled as one graph, and at times one after the other.
_shard_function = tf.function(autograph=False, experimental_attributes={"_noinline": True})


@_shard_function
def _forward(
    gate_name: str, record: bool, x: Tensor, h: Tensor, c: Tensor, w: Tensor
) -> tuple[Tensor, Tensor, list[_Step]]:
    """Run all steps: x [B, T, F + 1], h, c [B, units], w [F + 1 + units, 4 * units]."""
    gate = _GATES[gate_name].function
    steps = []
    for x_t in tf.unstack(x, axis=1):
        xh = tf.concat([x_t, h], axis=1)
        zi, zf, zn, zo = tf.split(tf.matmul(xh, w), 4, axis=1)
        i, f, n, o = gate(zi), gate(zf), tf.tanh(zn), gate(zo)
        c_before, c = c, f * c + i * n
        y = tf.tanh(c)
        h = o * y
        if record:
            steps.append(_Step(xh, c_before, i, f, n, o, y))
    return h, c, steps


@_shard_function
def _backward(
    gate_name: str, steps: Sequence[_Step], dh: Tensor, dc: Tensor, w: Tensor
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return T times dz [B, 4 * units], dc before the first step, and dw, from the last dh, dc."""
    gate_gradient = _GATES[gate_name].gradient
    # Transposed once: a product with transpose_b=True takes twice as long at this size.
    recurrent = tf.transpose(w[-dh.shape[1] :])
    dzs: list[Tensor] = []
    for step in reversed(steps):
        _, c, i, f, n, o, y = step
        if dzs:
            dh = tf.matmul(dzs[-1], recurrent)
        dc += _tanh_gradient(y, dh * o)
        di, df = gate_gradient(i, dc * n), gate_gradient(f, dc * c)
        dn, do = _tanh_gradient(n, dc * i), gate_gradient(o, dh * y)
        dzs.append(tf.concat([di, df, dn, do], axis=1))
        dc *= f
    dzs.reverse()
    inputs = tf.concat([step.inputs for step in steps], axis=0)
    return dzs, dc, tf.matmul(inputs, tf.concat(dzs, axis=0), transpose_a=True)


def _split(tensor: Tensor, shards: int) -> list[Tensor]:
    """Split along the batch into nearly equal shards, some of them empty if it is small."""
    edges = [tf.shape(tensor)[0] * shard // shards for shard in range(shards + 1)]
    sizes = [stop - start for start, stop in itertools.pairwise(edges)]
    return tf.split(tensor, sizes, num=shards)


def _lstm(
    x: Tensor, h: Tensor, c: Tensor, w: Tensor, *, gate_name: str, shards: int, record: bool
) -> tuple[Tensor, Tensor]:
    """Return the last h, c [B, units]: x [B, T, F + 1], w [F + 1 + units, 4 * units]."""
    units = h.shape[1]
    # This executor keeps a shard on one thread. It is of use only if there is a second shard.
    executor = "SINGLE_THREADED_EXECUTOR" if shards > 1 else None

    @tf.custom_gradient
    def run(x: Tensor, h: Tensor, c: Tensor, w: Tensor) -> tuple[Any, Callable[..., Any]]:
        starts = list(zip(*(_split(tensor, shards) for tensor in (x, h, c)), strict=True))

        def forward(record: bool) -> Any:
            with tf.experimental.function_executor_type(executor):
                return zip(
                    *(_forward(gate_name, record, *start, w) for start in starts), strict=True
                )

        last_h, last_c, recorded = forward(record)

        def gradient(dh: Tensor, dc: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            _, _, steps = (None, None, recorded) if record else forward(record=True)
            ends = zip(steps, _split(dh, shards), _split(dc, shards), strict=True)
            with tf.experimental.function_executor_type(executor):
                dzs, dcs, dws = zip(*(_backward(gate_name, *end, w) for end in ends), strict=True)
            # From here to dx and dh is outside the shards' functions, so that a graph drops it
            # where nobody asks for these two.
            dz = tf.concat([tf.stack(shard, axis=1) for shard in dzs], axis=0)
            dx = tf.tensordot(dz, w[:-units], [[2], [1]])
            first_dh = tf.matmul(dz[:, 0], w[-units:], transpose_b=True)
            return dx, first_dh, tf.concat(dcs, axis=0), tf.add_n(dws)

        return (tf.concat(last_h, axis=0), tf.concat(last_c, axis=0)), gradient

    return run(x, h, c, w)


@keras.saving.register_keras_serializable(package="lstm_mnist")
class FastLSTM(keras.layers.Layer):
    """The last h and c of `RNN(LSTMCell(units, ...), return_state=True)`, with its weights.

    `recurrent_activation` is "sigmoid" or "hard_sigmoid", the latter clip(0.2 * z + 0.5, 0, 1) as
    in Keras 1 and 2. `shards` is the number of parts of a batch that run side by side; None means
    one per core, or one if there is a GPU. Raises ValueError for another activation.
    """

    def __init__(
        self,
        units: int,
        *,
        recurrent_activation: str,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        shards: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if recurrent_activation not in _GATES:
            raise ValueError(f"recurrent_activation must be one of {[*_GATES]}")
        self.units = units
        self.recurrent_activation = recurrent_activation
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.shards = shards

    def build(self, inputs_shape: Sequence[int | None], *_: Any) -> None:
        """Create kernel [F, 4 * units], recurrent_kernel [units, 4 * units], bias [4 * units]."""
        columns = 4 * self.units
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs_shape[-1], columns), initializer=self.kernel_initializer
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, columns),
            initializer=self.recurrent_initializer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(columns,), initializer=lambda *_, **__: self._per_gate(0, 1, 0, 0)
        )

    def call(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None = None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Return the last h, c [B, units] from inputs [B, T, F] and first h, c (default: zeros)."""
        if initial_state is None:
            h = c = tf.zeros([tf.shape(inputs)[0], self.units], inputs.dtype)
        else:
            h, c = initial_state
        gate = _GATES[self.recurrent_activation]
        slope = self._per_gate(gate.slope, gate.slope, 1, gate.slope)
        offset = self._per_gate(gate.offset, gate.offset, 0, gate.offset)
        weights = [self.kernel * slope, [self.bias * slope + offset], self.recurrent_kernel * slope]
        return _lstm(
            tf.concat([inputs, tf.ones_like(inputs[:, :, :1])], axis=2),
            h,
            c,
            tf.concat(weights, axis=0),
            gate_name=self.recurrent_activation,
            shards=self.shards or _default_shards(),
            # Recording costs memory traffic. A gradient asked for without it runs forward again.
            record=bool(training),
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {
            "units": self.units,
            "recurrent_activation": self.recurrent_activation,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
            "shards": self.shards,
        }

    def _per_gate(self, *values: float) -> NDArray[Any]:
        """Repeat each of four values over its gate's columns: [4 * units]."""
        return np.repeat(np.asarray(values, self.compute_dtype), self.units)


def _default_shards() -> int:
    """Return one shard per core, or a single one if there is a GPU to do the work."""
    return 1 if tf.config.get_visible_devices("GPU") else runtime.cores()
