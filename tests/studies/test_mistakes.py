from typing import Any

import numpy as np
import pytest

from lstm_mnist import data
from lstm_mnist.studies import mistakes


def test_mistakes_of_a_network() -> None:
    class Network:
        """Sees every digit as it is but 7s, which it takes for 1s, the later the surer."""

        def predict_on_batch(self, images: Any) -> Any:
            return images[:, :10, 0] * 255

    labels = np.array([0, 7, 3, 7, 7], np.uint8)
    images = np.zeros((5, 28, 28), np.uint8)
    images[range(5), labels, 0] = 1
    images[[1, 3, 4], 1, 0] = 2, 3, 4
    found = mistakes.find(Network(), data.Split(images, labels), most=2)
    assert found.confusion.shape == (10, 10)
    assert found.confusion.sum() == 5
    assert found.confusion[7, 1] == found.count == 3
    assert [
        (mistake.position, mistake.label, mistake.predicted) for mistake in found.most_confident
    ] == [(4, 7, 1), (3, 7, 1)]
    probability = np.exp(4) / (np.exp(4) + np.exp(1) + 8)
    assert found.most_confident[0].probability == pytest.approx(probability)
    assert (found.most_confident[0].image == data.scale(images[4])).all()
