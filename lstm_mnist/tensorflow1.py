"""What TensorFlow 1.15 did for the script, written out, and checks of this project against it.

Nothing here is read from `config`: an error there must not confirm itself.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import stats

from lstm_mnist import networks
from lstm_mnist.config import Config
from lstm_mnist.recording import WEIGHT_SHAPES, Check

Arrays = Sequence[NDArray[Any]]

# `tf.train.AdamOptimizer(0.01)`, in the terms of Keras.
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.01, 0.9, 0.999, 1e-8
_OPTIMIZER: Mapping[str, Any] = {
    "class": "keras.src.optimizers.adam.Adam",
    "learning_rate": float(np.float32(LEARNING_RATE)),
    "beta_1": BETA_1,
    "beta_2": BETA_2,
    "epsilon": EPSILON,
    "amsgrad": False,
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,  # no effect without use_ema, like the next
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}
# The mean over the batch of `tf.nn.softmax_cross_entropy_with_logits`.
_LOSS: Mapping[str, Any] = {
    "class": "keras.src.losses.losses.SparseCategoricalCrossentropy",
    "reduction": "sum_over_batch_size",
    "from_logits": True,
    "ignore_class": None,
}
# Arguments of layers that would add to the loss, constrain weights or drop values.
_REGULARIZING = ("regularizer", "constraint", "dropout")

# Steps after which the optimizer is tried: at the start, in the second epoch, in the last.
_TRIED_AT = (0, 575, 29 * 550)
# For cells of up to 28, where float32 rounds each of 28 sums by up to 1e-6.
SATURATED_BOUND = 3e-5
# Relative to the largest entry: in float32, 1 - 0.999 has a relative error of 1.3e-5.
UPDATE_BOUND = 2e-5

SEEDS = 100
# An exact distribution fails a row of the initial weights with a probability of at most 1e-6.
FALSE_ALARM = 1e-6
ORTHOGONALITY_BOUND = (
    2e-6  # float32 rounding of a QR decomposition and of sums of 400. Seen: 1.3e-6
)


def recipe_checks(model: keras.Model, when: str) -> Iterator[Check]:
    """Compare a compiled network's recipe with the script's, by name and value."""
    yield Check.settings(f"{when}: optimizer", _described(model.optimizer), _OPTIMIZER)
    yield Check.settings(f"{when}: loss", _described(model.loss), _LOSS)
    regularizing = {
        f"{layer.name}.{name}": value
        for layer in model.layers
        for name, value in layer.get_config().items()
        if value and any(word in name for word in _REGULARIZING)
    }
    yield Check.settings(f"{when}: regularizers, constraints, dropout", regularizing, {})
    added = sum(
        variable.regularizer is not None or variable.constraint is not None
        for variable in model.variables
    )
    yield Check.counted(f"{when}: terms added to the loss", len(model.losses) + added, 0)
    yield Check.counted(f"{when}: parameters trained", _size(model.trainable_variables), 52_610)
    # Keras' layers also hold random generators' states, which are integers.
    fixed = [one for one in model.non_trainable_variables if "float" in str(one.dtype)]
    yield Check.counted(f"{when}: parameters not trained", _size(fixed), 0)


def _described(thing: Any) -> dict[str, Any]:
    """Return the class of an optimizer or a loss, and its configuration."""
    kind = type(thing)
    get_config = getattr(thing, "get_config", dict)
    settings = {name: value for name, value in get_config().items() if name != "name"}
    return {**settings, "class": f"{kind.__module__}.{kind.__qualname__}"}


def _size(variables: Sequence[Any]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def optimizer_checks(model: keras.Model) -> Iterator[Check]:
    """Try a network's optimizer on chosen gradients; its weights and state are lost."""
    optimizer, variables = model.optimizer, model.trainable_variables
    kept = ("iteration", "learning_rate")
    random = np.random.default_rng(0)

    def begin(step: int, value: float) -> None:
        optimizer.iterations.assign(step)
        for variable in optimizer.variables:
            if variable.name not in kept:
                variable.assign(tf.zeros_like(variable.value))
        for variable in variables:
            variable.assign(tf.fill(variable.shape, value))

    def apply(size: float) -> list[NDArray[np.float32]]:
        gradients = [
            (size * random.standard_normal(variable.shape)).astype(np.float32)
            for variable in variables
        ]
        optimizer.apply([tf.constant(gradient) for gradient in gradients], variables)
        return gradients

    for step in _TRIED_AT:
        begin(step, 1.0)
        apply(0.0)
        weights = _flat([variable.numpy() for variable in variables])
        yield Check.close(f"optimizer: no gradient after step {step}", weights, weights * 0 + 1, 0)
        begin(step, 0.0)
        adam = Adam([np.zeros(variable.shape) for variable in variables], step)
        # From norms at which epsilon dominates to norms that no run sees.
        for size in (1e-8, 1e-3, 1.0, 1e3, 0.0):
            adam.step(apply(size))
        yield Check.close(
            f"optimizer: chosen gradients after step {step}, relative",
            _flat([variable.numpy() for variable in variables]),
            _flat(adam.weights),
            UPDATE_BOUND,
            relative=True,
        )


def _flat(arrays: Arrays) -> NDArray[np.float64]:
    return np.concatenate([np.ravel(array).astype(np.float64) for array in arrays])


class Adam:
    """`tf.train.AdamOptimizer(0.01)` in float64.

    `paper_epsilon` adds epsilon to the corrected root, as Adam's paper and PyTorch do: the first
    steps then differ where gradients are below 1e-6.
    """

    def __init__(
        self,
        weights: Arrays,
        steps: int,
        moments: tuple[Arrays, Arrays] | None = None,
        *,
        paper_epsilon: bool = False,
    ) -> None:
        """Begin with weights after `steps` steps and the first and second moments, by default 0."""
        first, second = moments or [[np.zeros_like(array) for array in weights]] * 2
        self.weights, self._first, self._second = (
            [array.astype(np.float64) for array in arrays] for arrays in (weights, first, second)
        )
        self._steps = steps
        self._paper_epsilon = paper_epsilon

    def step(self, gradients: Arrays) -> None:
        """Take one step."""
        self._steps += 1
        correction = math.sqrt(1 - BETA_2**self._steps)
        rate = LEARNING_RATE * correction / (1 - BETA_1**self._steps)
        epsilon = EPSILON * correction if self._paper_epsilon else EPSILON
        for weight, first, second, gradient in zip(
            self.weights, self._first, self._second, gradients, strict=True
        ):
            first += (1 - BETA_1) * (gradient - first)
            second += (1 - BETA_2) * (np.square(gradient, dtype=np.float64) - second)
            weight -= rate * first / (np.sqrt(second) + epsilon)


def saturated_cell_checks(model: keras.Model) -> Iterator[Check]:
    """Compare a network's states and logits where its cells count up to 28 and down to -28.

    Only networks that collapse come near such values, and a clipped cell would show nowhere else.
    The network's weights are lost.
    """
    random = np.random.default_rng(0)
    weights = {
        name: random.uniform(-0.1, 0.1, shape).astype(np.float32)
        for name, shape in WEIGHT_SHAPES.items()
    }
    weights["bias"][:400] = np.repeat([6, 6, 0, 6], 100)  # open gates
    weights["bias"][200:300] = np.linspace(-6, 6, 100)
    networks.set_weights(model, weights)
    images = random.uniform(0, 1, (10, 28, 28)).astype(np.float32)
    (h, c), logits = lstm(weights, images)
    states = networks.final_states(model)(images)
    for name, ours, expected in zip(("h", "c"), states, (h, c), strict=True):
        yield Check.close(f"saturated cells: {name}", ours, expected, SATURATED_BOUND)
    yield Check.close("saturated cells: logits", model(images), logits, SATURATED_BOUND)


def hard_sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    """Return the gates' activation in Keras 1 and 2."""
    return np.clip(0.2 * x + 0.5, 0, 1)


def lstm(
    weights: Mapping[str, NDArray[Any]],
    images: NDArray[np.float32],
    gate: Callable[[NDArray[Any]], NDArray[Any]] = hard_sigmoid,
) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]:
    """Return the final states (h, c) [B, 100] and logits [B, 10] of images [B, 28, 28], in float64.

    As `LSTMCell` computes them under `tf.nn.dynamic_rnn`, row by row; the dense layer reads c.
    """
    wide = {name: array.astype(np.float64) for name, array in weights.items()}
    h = c = np.zeros((len(images), 100))
    for row in images.astype(np.float64).transpose(1, 0, 2):
        sums = row @ wide["kernel"] + h @ wide["recurrent_kernel"] + wide["bias"]
        i, f, new, o = np.split(sums, 4, axis=1)
        c = gate(f) * c + gate(i) * np.tanh(new)
        h = gate(o) * np.tanh(c)
    return (h, c), c @ wide["dense_kernel"] + wide["dense_bias"]


def initial_weight_checks(settings: Config) -> Iterator[Check]:
    """Compare the initial weights of 100 seeds with the distributions of TensorFlow 1.

    A Kolmogorov-Smirnov distance D of n independent values fails at sqrt(ln(2 / p) / 2n), which an
    exact distribution exceeds with a probability of at most p (Massart's constant in the inequality
    of Dvoretzky, Kiefer and Wolfowitz). The seeds are fixed: a verdict does not change by chance.
    """
    drawn = [
        networks.weights(networks.build(dataclasses.replace(settings, seed=seed)))
        for seed in range(SEEDS)
    ]
    arrays = {name: np.stack([one[name] for one in drawn]) for name in WEIGHT_SHAPES}
    for name in ("kernel", "dense_kernel"):
        yield from _glorot_uniform_checks(f"initial {name}", arrays[name])
    recurrent = arrays["recurrent_kernel"].astype(np.float64)
    yield Check.close(
        "initial recurrent_kernel: products of its rows",
        recurrent @ recurrent.transpose(0, 2, 1),
        np.broadcast_to(np.eye(100), (SEEDS, 100, 100)),
        ORTHOGONALITY_BOUND,
    )
    # In a uniformly distributed orthogonal matrix, an entry's sign says nothing about other rows'.
    positive = int(np.sum(np.diagonal(recurrent, axis1=1, axis2=2) > 0))
    count = 100 * SEEDS
    yield Check.counted(
        "initial recurrent_kernel: positive on the diagonal",
        positive,
        count // 2,
        math.floor(math.sqrt(count * math.log(2 / FALSE_ALARM) / 2)),  # Hoeffding's inequality
    )
    yield Check.counted(
        "initial recurrent_kernel: different ones", len({one.tobytes() for one in recurrent}), SEEDS
    )
    forget = np.zeros((SEEDS, 400))
    forget[:, 100:200] = 1
    yield Check.close("initial bias", arrays["bias"], forget, 0)
    yield Check.close("initial dense_bias", arrays["dense_bias"], np.zeros((SEEDS, 10)), 0)


def _glorot_uniform_checks(quantity: str, values: NDArray[np.float32]) -> Iterator[Check]:
    """Compare [seeds, in, out] with the uniform distribution in +-sqrt(6 / (in + out))."""
    limit = math.sqrt(6 / sum(values.shape[1:]))
    scaled = values.ravel().astype(np.float64) / limit
    beyond = int(np.sum(np.abs(scaled) > 1 + 1e-6))
    yield Check.counted(f"{quantity}: entries beyond {limit:.3f}", beyond, 0)
    size = scaled.size
    yield Check.close(
        f"{quantity}: variance over a uniform one's",
        3 * np.mean(np.square(scaled)),
        1.0,
        # Hoeffding's inequality for 3u^2 in [0, 3].
        3 * math.sqrt(math.log(2 / FALSE_ALARM) / (2 * size)),
    )
    uniform = stats.uniform(-1, 2)
    yield Check.close(
        f"{quantity}: Kolmogorov-Smirnov distance",
        stats.ks_1samp(scaled, uniform.cdf, method="asymp").statistic,
        0.0,
        math.sqrt(math.log(2 / FALSE_ALARM) / (2 * size)),
    )
