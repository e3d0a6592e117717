"""Where the time of a training step goes: `python -m benchmarks.step`.

The stages are nested, and are measured in turns: the matrix products of the LSTM alone, in a step's
shapes and shards; the layer's forward pass; forward and backward; the whole step as a run takes it.
"""

import functools
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from lstm_mnist import data
from lstm_mnist.config import Config
from lstm_mnist.recurrence import library
from lstm_mnist.system import runtime

ROUNDS, REPETITIONS = 7, 550  # as many steps as an epoch has


def main() -> None:
    """Measure every stage and print a table in Markdown."""
    config = Config()
    runtime.start("cpu", library.choose(config.kernel))
    stages = stages_of(config, data.load())
    milliseconds: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(ROUNDS):
        for name, stage in stages.items():
            started = time.perf_counter()
            stage(REPETITIONS)
            milliseconds[name].append(1e3 * (time.perf_counter() - started) / REPETITIONS)
    print("| stage | ms (median, range) |\n|---|--:|")
    for name, values in milliseconds.items():
        print(f"| {name} | {median(values):.2f} ({min(values):.2f}..{max(values):.2f}) |")


def stages_of(config: Config, dataset: data.Dataset) -> dict[str, Callable[[int], Any]]:
    """Return functions that run a stage several times, already compiled."""
    import tensorflow as tf

    from lstm_mnist import networks, training

    images = tf.constant(dataset.train.images[: config.batch_size])
    model = training.compiled(networks.build(config), config, steps=REPETITIONS)
    batches = training.batches(config, dataset)
    layer = model.get_layer("lstm")
    products = products_of(config, *images.shape[1:])

    @tf.function(autograph=False)
    def forward() -> Any:
        return layer(images, training=True)[-1]

    @tf.function(autograph=False)
    def forward_and_backward() -> Any:
        with tf.GradientTape() as tape:
            *_, cell = layer(images, training=True)
        return tape.gradient(cell, [weight.value for weight in layer.trainable_variables])

    def repeated(function: Callable[[], Any]) -> Callable[[int], Any]:
        function()
        return lambda times: [function() for _ in range(times)]

    fit = functools.partial(training.fit, model, batches)
    fit(steps=REPETITIONS)
    return {
        "matrix products of the LSTM alone": repeated(products),
        "layer, forward": repeated(forward),
        "layer, forward and backward": repeated(forward_and_backward),
        "whole step": lambda times: fit(steps=times),
    }


def products_of(config: Config, steps: int, features: int) -> Callable[[], Any]:
    """Return a function that computes nothing but the layer's products, one shard per core."""
    import tensorflow as tf

    shards = runtime.cores()
    rows, inputs, gates = config.batch_size // shards, features + 1 + config.units, 4 * config.units
    w = tf.random.normal((inputs, gates), stddev=0.01)
    recurrent = tf.random.normal((gates, config.units), stddev=0.01)
    operands = [
        (tf.random.normal((steps * rows, inputs)), tf.random.normal((steps * rows, gates)))
        for _ in range(shards)
    ]

    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def shard(all_inputs: Any, all_dz: Any) -> Any:
        xh, dz = all_inputs[:rows], all_dz[:rows]
        # Each product takes a part of the one before, or it would be computed only once.
        for _ in range(steps):
            xh = tf.matmul(xh, w)[:, :inputs]
        for _ in range(steps - 1):
            dz = tf.tile(tf.matmul(dz, recurrent), (1, 4))
        return xh, dz, tf.matmul(all_inputs, all_dz, transpose_a=True)

    @tf.function(autograph=False)
    def products() -> Any:
        with tf.experimental.function_executor_type("SINGLE_THREADED_EXECUTOR"):
            return [shard(*operand) for operand in operands]

    return products


if __name__ == "__main__":
    main()
