"""Recurrent layers that are fast on CPUs: their own loops, shards and hand-written gradients.

Where the time goes, and what is done about it:

* A product of 100 rows does not scale over threads; two of 50 rows side by side do. The batch is
  split into shards, and each shard runs its whole loop on one inter-op thread, which is why
  `runtime.start` gives TensorFlow one inter-op thread per core and one intra-op thread.
* Weight gradients are one product over all steps, made after the backward loop.
* In training, XLA fuses the element-wise ops between two products. It does so within a loop: of
  unrolled steps it computes every earlier step's gradient anew in each of the later ones. Without
  training it is no faster, and would compile anew for every size of a batch.
* An LSTM's bias is the weight of an input that is always 1, and the constants of a hard sigmoid are
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


class _Cell(NamedTuple):
    """One time step. The first of its states, all [B, units], is the output h."""

    states: int
    kept: int  # tensors [B, units] that the gradient needs
    columns: int  # of the weights, in units
    # (z, *states before, without h) -> (states after, what the gradient needs), z being [x, h] w.
    step: Callable[..., tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]
    # (what it needs, *d states after) -> (dz, *d states before, without h).
    gradient: Callable[..., tuple[Tensor, ...]]


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


def _simple_cell() -> _Cell:
    """Return the cell s = tanh(z)."""

    def step(z: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        s = tf.tanh(z)
        return (s,), (s,)

    def gradient(kept: Sequence[Tensor], ds: Tensor) -> tuple[Tensor, ...]:
        (s,) = kept
        return (_tanh_gradient(s, ds),)

    return _Cell(1, 1, 1, step, gradient)


def _lstm_cell(gate: _Gate) -> _Cell:
    """Return the LSTM cell: c = f c + i n and h = o tanh(c), z being that of i, f, n and o."""

    def step(z: Tensor, c: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        zi, zf, zn, zo = tf.split(z, 4, axis=1)
        i, f, n, o = gate.function(zi), gate.function(zf), tf.tanh(zn), gate.function(zo)
        c_before, c = c, f * c + i * n
        return (o * tf.tanh(c), c), (c_before, i, f, n, o)

    def gradient(kept: Sequence[Tensor], dh: Tensor, dc: Tensor) -> tuple[Tensor, ...]:
        c, i, f, n, o = kept
        y = tf.tanh(f * c + i * n)  # keeping it would take longer
        dc += _tanh_gradient(y, dh * o)
        di, df = gate.gradient(i, dc * n), gate.gradient(f, dc * c)
        dn, do = _tanh_gradient(n, dc * i), gate.gradient(o, dh * y)
        return tf.concat([di, df, dn, do], axis=1), dc * f

    return _Cell(2, 5, 4, step, gradient)


_CELLS = {"simple": _simple_cell()} | {name: _lstm_cell(gate) for name, gate in _GATES.items()}

# Inlined, the shards' ops would be scheduled as one graph, and at times one after the other.
_shard_function = tf.function(autograph=False, experimental_attributes={"_noinline": True})
_fused_shard_function = tf.function(autograph=False, jit_compile=True)


def _step(
    cell: _Cell, w: Tensor, x: Tensor, h: Tensor, *others: Tensor
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return the states after one step; [x, h] before it, and what its gradient needs besides."""
    xh = tf.concat([x, h], axis=1)
    states, kept = cell.step(tf.matmul(xh, w), *others)
    return states, (xh, *kept)


@_shard_function
def _forward(
    cell_name: str, sequences: bool, w: Tensor, x: Tensor, *states: Tensor
) -> tuple[Tensor, ...]:
    """Run all steps: w [F + units, columns], x [B, T, F], states [B, units].

    Returns the outputs [B, T, units] or nothing, and the last states.
    """
    outputs = []
    for x_t in tf.unstack(x, axis=1):
        states, _ = _step(_CELLS[cell_name], w, x_t, *states)
        outputs.append(states[0])
    return (tf.stack(outputs, axis=1), *states) if sequences else states


@_fused_shard_function
def _recording_forward(
    cell_name: str, sequences: bool, w: Tensor, x: Tensor, *states: Tensor
) -> tuple[tuple[Tensor, ...], Sequence[Tensor]]:
    """Do as `_forward`, and return besides what `_backward` needs.

    That is the inputs of the products [T, B, F + units], and all the rest [T, any, B, units] in
    one tensor: XLA would fill further ones of its shape with a copy of its zeros, and after a copy
    of 1 MB or more a shard goes on in a thread that it shares with the others.
    """
    cell = _CELLS[cell_name]
    steps, recorded = x.shape[1], cell.kept + sequences

    def body(t: Tensor, states: Any, inputs: Any, records: Any) -> Any:
        (h, *others), (xh, *kept) = _step(cell, w, x[:, t], *states)
        for k, value in enumerate([*kept, h] if sequences else kept):
            records = records.write(recorded * t + k, value)
        return t + 1, (h, *others), inputs.write(t, xh), records

    arrays = [tf.TensorArray(x.dtype, size) for size in (steps, steps * recorded)]
    _, states, *arrays = tf.while_loop(
        lambda t, *_: t < steps, body, (0, states, *arrays), maximum_iterations=steps
    )
    inputs, records = (array.stack() for array in arrays)
    records = tf.reshape(records, [steps, recorded, *states[0].shape])
    if sequences:
        states = (tf.transpose(records[:, -1], [1, 0, 2]), *states)
    return states, (inputs, records)


@_fused_shard_function
def _backward(
    cell_name: str,
    records: Sequence[Tensor],
    w: Tensor,
    d_outputs: Sequence[Tensor],
    dh: Tensor,
    *d_others: Tensor,
) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
    """Return dz [T, B, columns], d first states without h, and dw, from d last states.

    `d_outputs` is [B, T, units], or nothing.
    """
    cell = _CELLS[cell_name]
    inputs, kept = records
    steps = inputs.shape[0]
    recurrent = tf.transpose(w[-dh.shape[1] :])

    def body(t: Tensor, dh: Tensor, d_others: Any, dz: Any) -> Any:
        dh = tf.add_n([dh, *(outputs[:, t] for outputs in d_outputs)])
        kept_t = [kept[t, k] for k in range(cell.kept)]
        dz_t, *d_others = cell.gradient(kept_t, dh, *d_others)
        return t - 1, tf.matmul(dz_t, recurrent), tuple(d_others), dz.write(t, dz_t)

    *_, d_others, array = tf.while_loop(
        lambda t, *_: t >= 0,
        body,
        (steps - 1, dh, d_others, tf.TensorArray(w.dtype, steps)),
        maximum_iterations=steps,
    )
    dz = array.stack()
    rows, d_rows = (tf.reshape(values, [-1, values.shape[-1]]) for values in (inputs, dz))
    return dz, d_others, tf.matmul(rows, d_rows, transpose_a=True)


def _split(tensor: Tensor, shards: int) -> list[Tensor]:
    """Split along the batch into nearly equal shards, some of them empty if it is small."""
    edges = [tf.shape(tensor)[0] * shard // shards for shard in range(shards + 1)]
    sizes = [stop - start for start, stop in itertools.pairwise(edges)]
    return tf.split(tensor, sizes, num=shards)


def _recurrence(
    w: Tensor,
    x: Tensor,
    states: Sequence[Tensor],
    *,
    cell_name: str,
    shards: int,
    record: bool,
    sequences: bool,
) -> tuple[Tensor, ...]:
    """Return the outputs [B, T, units] or, without `sequences`, h, and the last states [B, units].

    `w` is [F + units, columns], `x` [B, T, F].
    """
    units = states[0].shape[1]
    # This executor keeps a shard on one thread. It is of use only if there is a second shard.
    executor = "SINGLE_THREADED_EXECUTOR" if shards > 1 else None

    def split(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
        """Return each shard's part of all tensors."""
        parts = [_split(tensor, shards) for tensor in tensors]
        return [[part[shard] for part in parts] for shard in range(shards)]

    @tf.custom_gradient
    def run(w: Tensor, x: Tensor, *states: Tensor) -> tuple[Any, Callable[..., Any]]:
        w, *starts = _stopped((w, *split([x, *states])))

        def forward(record: bool) -> Any:
            with tf.experimental.function_executor_type(executor):
                if not record:
                    return [_forward(cell_name, sequences, w, *start) for start in starts], []
                ends = [_recording_forward(cell_name, sequences, w, *start) for start in starts]
            results, records = zip(*ends, strict=True)
            return results, _stopped(records)

        results, recorded = forward(record)

        def gradient(*d_results: Tensor) -> tuple[Tensor, ...]:
            records = recorded if record else forward(record=True)[1]
            outputs = len(d_results) - len(states)
            with tf.experimental.function_executor_type(executor):
                dzs, d_others, dws = zip(
                    *(
                        _backward(cell_name, shard, w, d[:outputs], *d[outputs:])
                        for shard, d in zip(records, split(d_results), strict=True)
                    ),
                    strict=True,
                )
            # From here to dx and dh is outside the shards' functions, so that a graph drops it
            # where nobody asks for these two.
            dz = tf.concat(dzs, axis=1)
            dx = tf.transpose(tf.tensordot(dz, w[:-units], [[2], [1]]), [1, 0, 2])
            first_dh = tf.matmul(dz[0], w[-units:], transpose_b=True)
            return tf.add_n(dws), dx, first_dh, *_joined(d_others)

        return _joined(results), gradient

    results = run(w, x, *states)
    return results if sequences else (results[0], *results)


def _stopped(tensors: Any) -> Any:
    """Return a structure of tensors through which TensorFlow will not differentiate.

    It would do so for gradients of gradients, which may be asked for later, and XLA cannot return
    what they take.
    """
    return tf.nest.map_structure(tf.stop_gradient, tensors)


def _joined(shards: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
    """Put the shards' parts of several tensors together along the batch."""
    return tuple(tf.concat(parts, axis=0) for parts in zip(*shards, strict=True))


class _FastRecurrent(keras.layers.Layer):
    """What the fast layers share.

    `return_sequences` and the initializers are Keras'. `shards` is the number of parts of a batch
    that run side by side; None means one per core, or one if there is a GPU.
    """

    def __init__(
        self,
        units: int,
        *,
        cell_name: str,
        return_sequences: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        shards: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.return_sequences = return_sequences
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.shards = shards
        self._cell_name = cell_name
        self._cell = _CELLS[cell_name]

    def build(self, inputs_shape: Sequence[int | None], *_: Any) -> None:
        """Create kernel [F, columns] and recurrent_kernel [units, columns]."""
        columns = self._cell.columns * self.units
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
        if initial_state is None:
            zeros = tf.zeros([tf.shape(inputs)[0], self.units], inputs.dtype)
            initial_state = [zeros] * self._cell.states
        w, x = self._weights_and_inputs(inputs)
        return _recurrence(
            w,
            x,
            initial_state,
            cell_name=self._cell_name,
            shards=self.shards or _default_shards(),
            # Recording costs memory traffic. A gradient asked for without it runs forward again.
            record=bool(training),
            sequences=self.return_sequences,
        )

    def _weights_and_inputs(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return w and x, of which each step computes z = [x, h] w."""
        return tf.concat([self.kernel, self.recurrent_kernel], axis=0), inputs

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {
            "units": self.units,
            "return_sequences": self.return_sequences,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
            "shards": self.shards,
        }


@keras.saving.register_keras_serializable(package="lstm_mnist")
class FastSimpleRNN(_FastRecurrent):
    """`RNN(SimpleRNNCell(units, use_bias=False), return_state=True)`, with its weights.

    The arguments are those of `_FastRecurrent`.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, cell_name="simple", **kwargs)


@keras.saving.register_keras_serializable(package="lstm_mnist")
class FastLSTM(_FastRecurrent):
    """`RNN(LSTMCell(units, ...), return_state=True)`, with its weights.

    `recurrent_activation` is "sigmoid" or "hard_sigmoid", the latter clip(0.2 * z + 0.5, 0, 1) as
    in Keras 1 and 2; the other arguments are those of `_FastRecurrent`. Raises ValueError for
    another activation.
    """

    def __init__(self, units: int, *, recurrent_activation: str, **kwargs: Any) -> None:
        if recurrent_activation not in _GATES:
            raise ValueError(f"recurrent_activation must be one of {[*_GATES]}")
        super().__init__(units, cell_name=recurrent_activation, **kwargs)
        self.recurrent_activation = recurrent_activation

    def build(self, inputs_shape: Sequence[int | None], *_: Any) -> None:
        """Create kernel [F, 4 * units], recurrent_kernel [units, 4 * units], bias [4 * units]."""
        super().build(inputs_shape)
        self.bias = self.add_weight(
            name="bias",
            shape=(4 * self.units,),
            initializer=lambda *_, **__: self._per_gate(0, 1, 0, 0),
        )

    def _weights_and_inputs(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        gate = _GATES[self.recurrent_activation]
        slope = self._per_gate(gate.slope, gate.slope, 1, gate.slope)
        offset = self._per_gate(gate.offset, gate.offset, 0, gate.offset)
        weights = [self.kernel * slope, [self.bias * slope + offset], self.recurrent_kernel * slope]
        inputs = tf.concat([inputs, tf.ones_like(inputs[:, :, :1])], axis=2)
        return tf.concat(weights, axis=0), inputs

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {"recurrent_activation": self.recurrent_activation}

    def _per_gate(self, *values: float) -> NDArray[Any]:
        """Repeat each of four values over its gate's columns: [4 * units]."""
        return np.repeat(np.asarray(values, self.compute_dtype), self.units)


def _default_shards() -> int:
    """Return one shard per core, or a single one if there is a GPU to do the work."""
    return 1 if tf.config.get_visible_devices("GPU") else runtime.cores()
