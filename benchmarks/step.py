"""Where the time of a training step goes: `python -m benchmarks.step`.

The first stage is a step's share of the floor: its matrix products alone, at the machine's rate for
large ones. The others are nested, each with one thing more than the one before. All are measured in
turns.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

from benchmarks import floor, record
from lstm_mnist import data
from lstm_mnist.config import Config
from lstm_mnist.recurrence import library
from lstm_mnist.system import files, runtime

ROUNDS, REPETITIONS = 7, 550  # as many steps as an epoch has
PATH = record.FOLDER / "step.json"
PRODUCTS = "matrix products alone, at PyTorch's rate"


def main() -> None:
    """Measure every stage, write the results and print the table."""
    config = Config()
    machine = runtime.start("cpu", library.choose(config.kernel))
    dataset = data.load()
    stages = stages_of(config, dataset)
    gflop = floor.work(config, dataset).fit * config.batch_size / len(dataset.train.labels)
    milliseconds: dict[str, list[float]] = {name: [] for name in (PRODUCTS, *stages)}
    for _ in range(ROUNDS):
        milliseconds[PRODUCTS].append(1e3 * gflop / floor.torch_rate())
        for name, stage in stages.items():
            started = time.perf_counter()
            stage(REPETITIONS)
            milliseconds[name].append(1e3 * (time.perf_counter() - started) / REPETITIONS)
    written = {**record.circumstances(machine), "milliseconds": milliseconds}
    files.write_json(PATH, written)
    print(table(milliseconds))


def table(milliseconds: dict[str, list[float]]) -> str:
    """Return the stages in Markdown."""
    lines = ["| stage | ms (median, range) |", "|---|--:|"]
    for name, values in milliseconds.items():
        lines.append(f"| {name} | {record.spread(values)} |")
    return "\n".join(lines) + "\n"


def stages_of(config: Config, dataset: data.Dataset) -> dict[str, Callable[[int], Any]]:
    """Return functions that run a stage several times, already traced."""
    import tensorflow as tf

    from lstm_mnist import networks, training

    images = tf.constant(data.scale(dataset.train.pixels[: config.batch_size]))
    labels = tf.constant(dataset.train.labels[: config.batch_size])
    model = training.compiled(networks.build(config), config, steps=REPETITIONS)
    layer = model.get_layer("lstm")

    def weights(owner: Any) -> list[Any]:
        return [variable.value for variable in owner.trainable_variables]

    @tf.function(autograph=False)
    def forward() -> Any:
        return layer(images, training=True)[-1]

    @tf.function(autograph=False)
    def layer_gradients() -> Any:
        with tf.GradientTape() as tape:
            *_, cell = layer(images, training=True)
        return tape.gradient(cell, weights(layer))

    @tf.function(autograph=False)
    def network_gradients() -> Any:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(y=labels, y_pred=model(images, training=True))
        return tape.gradient(loss, weights(model))

    @tf.function(autograph=False)
    def update() -> None:
        model.optimizer.apply_gradients(
            zip(network_gradients(), model.trainable_variables, strict=True)
        )

    def repeated(function: Callable[[], Any]) -> Callable[[int], Any]:
        function()
        return lambda times: [function() for _ in range(times)]

    def fit(batches: tf.data.Dataset) -> Callable[[int], Any]:
        stage = functools.partial(model.fit, batches, shuffle=False, verbose=0)
        stage(steps_per_epoch=REPETITIONS)
        return lambda times: stage(steps_per_epoch=times)

    return {
        "layer, forward": repeated(forward),
        "layer, forward and backward": repeated(layer_gradients),
        "network, with loss": repeated(network_gradients),
        "with Adam": repeated(update),
        "Keras' loop, on one batch": fit(tf.data.Dataset.from_tensors((images, labels)).repeat()),
        "whole step, with tf.data's input": fit(training.batches(config, dataset)),
    }


if __name__ == "__main__":
    main()
