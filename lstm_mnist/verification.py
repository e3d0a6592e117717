"""Replay a recorded trace of the original script through this project's own training code."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lstm_mnist import config, data, networks, training
from lstm_mnist.order import EpochOrder
from lstm_mnist.system.errors import DataError

# The recording under TensorFlow 1.15.5 with seed 7 that is part of the package.
SHIPPED_TRACE = Path(__file__).parent / "traces" / "trace_seed_7.npz"
ORIGINAL = config.variant("original")
PASSES = EpochOrder._fields

_WEIGHT_SHAPES = {
    "kernel": (28, 400),
    "recurrent_kernel": (100, 400),
    "bias": (400,),
    "dense_kernel": (100, 10),
    "dense_bias": (10,),
}
_SHAPES = {
    "first_batch/images_sum": (100,),
    "first_batch/labels": (100,),
    "first_batch/final_state_0": (100, 100),
    "first_batch/final_state_1": (100, 100),
    "first_batch/logits": (100, 10),
} | {
    f"{group}/{name}": shape
    for group in (
        "initial",
        "first_batch/gradient",
        "after_1",
        "after_10",
        "after_100",
        "after_550",
    )
    for name, shape in _WEIGHT_SHAPES.items()
}
_STEPS = 550  # the recorded losses that are compared: one epoch

# How far float32 rounding carries a correct port from the recording. An error of arithmetic
# (another gate, state, epsilon or order) misses these by orders of magnitude.
STATE_BOUND = 1e-6
GRADIENT_BOUND = 2e-6  # relative to the largest entry
PIXEL_BOUND = 1e-6  # relative
WEIGHT_BOUNDS = {1: 1e-4, 10: 2e-4}  # by step
LOSS_BOUNDS = {10: 3e-4, 50: 1e-3, 100: 1e-2}  # over the first steps
MEAN_LOSS_BOUND = 5e-3


class Trace(NamedTuple):
    """A recording of the original script."""

    seed: int
    label_order_sha256: list[str]  # of every pass, in the order of PASSES, epoch after epoch
    arrays: Mapping[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Check:
    """The largest deviation of one quantity from the recording."""

    quantity: str
    deviation: float
    bound: float

    @property
    def passed(self) -> bool:
        """Return whether the deviation is within the bound; NaN is not."""
        return self.deviation <= self.bound


def load_trace(path: Path) -> Trace:
    """Load a trace from an NPZ file and the JSON file beside it.

    Raises DataError if either is unreadable or lacks anything.
    """
    try:
        with path.open("rb") as file, np.load(file) as npz:
            arrays = dict(npz)
    except Exception as error:  # np.load raises what zipfile, zlib and its own parser raise
        raise DataError(f"{path} is not a readable NPZ file: {error}") from error
    missing = [name for name in ("loss", *_SHAPES) if name not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}")
    for name, shape in _SHAPES.items():
        if arrays[name].shape != shape:
            raise DataError(f"{path}: {name} has shape {arrays[name].shape}, expected {shape}")
    if arrays["loss"].ndim != 1 or len(arrays["loss"]) < _STEPS:
        raise DataError(f"{path}: loss must hold the losses of at least {_STEPS} steps")
    seed, digests = _load_passes(path.with_suffix(".json"))
    return Trace(seed, digests, arrays)


def _load_passes(path: Path) -> tuple[int, list[str]]:
    """Return the seed and the passes' digests that a trace's JSON file holds."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        seed = int(fields["seed"])
        names, digests = zip(*fields["label_order_sha256"], strict=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} does not hold a trace's seed and label_order_sha256: {error!r}"
        ) from error
    if names != PASSES * (len(names) // len(PASSES)):
        raise DataError(f"{path}: the passes must be {', '.join(PASSES)}, epoch after epoch")
    return seed, list(digests)


def checks(
    trace: Trace, dataset: data.Dataset, settings: config.Config = ORIGINAL
) -> Iterator[Check]:
    """Replay a trace and yield one Check per quantity, as soon as it is known.

    `settings` is the recipe to replay it with; its seed and batch size are the trace's.
    """
    settings = dataclasses.replace(settings, seed=trace.seed, batch_size=100)
    yield from _order_checks(trace, dataset, settings)
    model = training.compiled(networks.build(settings), settings)
    networks.set_weights(model, _group(trace, "initial"))
    batches = training.batches(settings, dataset)
    yield from _first_batch_checks(trace, batches, model)
    yield from _training_checks(trace, batches, model)


def _order_checks(trace: Trace, dataset: data.Dataset, settings: config.Config) -> Iterator[Check]:
    splits = (dataset.train, dataset.train, dataset.test)
    epochs = len(trace.label_order_sha256) // len(PASSES)
    digests = [
        hashlib.sha256(split.labels[index].data).hexdigest()
        for order in itertools.islice(training.orders(settings, dataset), epochs)
        for split, index in zip(splits, order, strict=True)
    ]
    differing = sum(
        ours != theirs for ours, theirs in zip(digests, trace.label_order_sha256, strict=True)
    )
    yield Check(f"label order: differing of {len(digests)} passes", differing, 0)


def _first_batch_checks(
    trace: Trace, batches: tf.data.Dataset, model: keras.Model
) -> Iterator[Check]:
    recorded = trace.arrays
    images, labels = next(iter(batches))
    differing = int(np.sum(labels.numpy() != recorded["first_batch/labels"]))
    yield Check("first batch: differing of 100 labels", differing, 0)
    pixel_sums = np.sum(images.numpy(), axis=(1, 2), dtype=np.float64)
    expected_sums = recorded["first_batch/images_sum"]
    yield Check(
        "first batch: pixel sums, relative",
        _deviation(pixel_sums / expected_sums, np.ones(100)),
        PIXEL_BOUND,
    )
    states = networks.final_states(model)(images)
    for name, index, state in zip(("h", "c"), (0, 1), states, strict=True):
        expected = recorded[f"first_batch/final_state_{index}"]
        yield Check(f"first batch: final state {name}", _deviation(state, expected), STATE_BOUND)
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = model.compute_loss(x=images, y=labels, y_pred=logits)
    yield Check(
        "first batch: logits", _deviation(logits, recorded["first_batch/logits"]), STATE_BOUND
    )
    gradients = tape.gradient(loss, model.trainable_weights)
    expected_gradients = _group(trace, "first_batch/gradient")
    for (name, expected), gradient in zip(expected_gradients.items(), gradients, strict=True):
        yield Check(
            f"first batch: gradient of {name}, relative",
            _deviation(gradient, expected) / float(np.max(np.abs(expected))),
            GRADIENT_BOUND,
        )


def _training_checks(trace: Trace, batches: tf.data.Dataset, model: keras.Model) -> Iterator[Check]:
    """Train for one epoch, stopping wherever there is something to compare."""
    recorded = trace.arrays["loss"][:_STEPS]
    losses = training.BatchLosses()
    for step in sorted({*WEIGHT_BOUNDS, *LOSS_BOUNDS, _STEPS}):
        done = len(losses.values)
        training.fit(model, batches.skip(done), steps=step - done, callbacks=[losses])
        if step in WEIGHT_BOUNDS:
            actual, expected = networks.weights(model), _group(trace, f"after_{step}")
            for name in networks.WEIGHTS:
                yield Check(
                    f"after step {step}: {name}",
                    _deviation(actual[name], expected[name]),
                    WEIGHT_BOUNDS[step],
                )
        if step in LOSS_BOUNDS:
            yield Check(
                f"losses of the first {step} steps",
                _deviation(losses.values, recorded[:step]),
                LOSS_BOUNDS[step],
            )
    yield Check(
        f"mean loss of {_STEPS} steps",
        abs(float(np.mean(losses.values)) - float(np.mean(recorded, dtype=np.float64))),
        MEAN_LOSS_BOUND,
    )


def _group(trace: Trace, group: str) -> dict[str, NDArray[np.float32]]:
    """Return a trace's arrays of the five weights under `group`, in the network's order."""
    return {name: trace.arrays[f"{group}/{name}"] for name in networks.WEIGHTS}


def _deviation(actual: Any, expected: NDArray[Any]) -> float:
    """Return the largest absolute difference, NaN if there is any."""
    difference = np.asarray(actual, dtype=np.float64) - expected.astype(np.float64)
    return float(np.max(np.abs(difference)))
