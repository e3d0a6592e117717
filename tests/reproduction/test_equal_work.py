import numpy as np
import pytest

from benchmarks import contenders, equal_work
from lstm_mnist import data, recording
from lstm_mnist.config import Config
from lstm_mnist.recording import Check

TRACE = recording.load_trace(recording.SHIPPED_TRACE)


@pytest.mark.slow
def test_reference_with_hard_sigmoids_reproduces_the_recording(dataset: data.Dataset) -> None:
    reference = equal_work.Reference(TRACE.weights(0), equal_work.HARD_SIGMOID)
    order = next(contenders.orders(Config(seed=TRACE.seed), dataset))[: equal_work.STEPS]
    losses = []
    for step, batch in enumerate(order):
        images = data.scale(dataset.train.pixels[batch])
        labels = dataset.train.labels[batch]
        losses.append(equal_work.loss(reference.outputs(images)[-1], labels))
        if step == 0:
            recorded = TRACE.group("first_batch/gradient")
            ours = reference.gradients(images, labels)
            for (name, gradient), actual in zip(recorded.items(), ours, strict=True):
                assert Check.close(name, actual, gradient, 2e-6, relative=True).passed, name
        reference.train(images, labels)
    np.testing.assert_allclose(losses, TRACE.arrays["loss"][: len(losses)], rtol=0, atol=3e-4)


@pytest.mark.slow
def test_peers_do_the_same_work(dataset: data.Dataset) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    checks = list(equal_work.checks(TRACE, dataset))
    assert [check for check in checks if not check.passed] == []
    assert len(checks) == 4 * len(equal_work.PEERS)
