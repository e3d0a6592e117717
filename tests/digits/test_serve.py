import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lstm_mnist import config, networks, training
from lstm_mnist.digits import page, preprocessing, reading
from lstm_mnist.runs import model_files
from lstm_mnist.system.errors import UsageError


def drawing() -> bytes:
    """Return a PNG file of a seven."""
    image = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(image).line([(60, 40), (140, 40), (90, 160)], fill=0, width=14)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "settings",
    [
        config.variant("original", units=5),
        config.variant("prose", units=5),
        config.Config(cell="rnn", units=5),
    ],
    ids=lambda settings: f"{settings.variant} {settings.cell}",
)
def test_reading_after_each_step(settings: config.Config) -> None:
    network = model_files.portable(networks.build(settings).get_weights(), settings)
    image = np.random.default_rng(1).uniform(size=(28, 28)).astype(np.float32)
    steps = image if settings.scan == "rows" else image.T
    found = reading.Reader(network).read(image)
    np.testing.assert_array_equal(found.steps, steps)
    assert found.probabilities.shape == (28, 10)
    assert found.memory.shape == (28, 5)
    # Keras' layer keeps its state at the steps that are masked.
    layer, classifier = network.get_layer(settings.cell), network.get_layer("logits")
    _, *states = layer(np.broadcast_to(steps, (28, 28, 28)), mask=np.tri(28, dtype=bool))
    logits = classifier(states[0 if settings.readout == "hidden" else -1])
    expected = training.probabilities(np.asarray(logits))
    np.testing.assert_allclose(found.memory, states[-1], atol=1e-6)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(
        training.probabilities(training.predict(network, image[np.newaxis]))[0],
        expected[-1],
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "settings",
    [config.Config(bidirectional=True), config.Config(layers=2), config.Config(context=14)],
)
def test_networks_that_cannot_be_followed(settings: config.Config) -> None:
    network = model_files.portable(networks.build(settings).get_weights(), settings)
    with pytest.raises(UsageError, match="one recurrent layer"):
        reading.Reader(network)


def test_answers() -> None:
    client = page.application(model_files.load(model_files.SHIPPED)).test_client()
    answer = client.post("/reading", data=drawing())
    assert answer.status_code == 200
    found = {name: np.array(values) for name, values in answer.get_json().items()}
    assert found["probabilities"][-1].argmax() == 7
    assert found["memory"].shape == (28, 100)
    expected = preprocessing.read(io.BytesIO(drawing()))
    np.testing.assert_allclose(found["steps"], expected, atol=1e-4)
    for body, status, error in (
        (b"", 400, "The picture is not a PNG, JPEG or GIF picture."),
        (drawing()[:99], 400, "The picture cannot be read: image file is truncated"),
        (bytes(page.MAX_BYTES + 1), 413, "exceeds the capacity limit"),
    ):
        answer = client.post("/reading", data=body)
        assert answer.status_code == status
        assert error in answer.get_json()["error"]
    assert client.get("/reading").status_code == 405
    assert client.get("/nothing").status_code == 404
