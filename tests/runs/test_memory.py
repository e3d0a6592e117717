import pytest

from lstm_mnist import networks
from lstm_mnist.config import NETWORKS, Config
from lstm_mnist.runs import memory


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_counted_before_there_is_a_network(name: str) -> None:
    settings = Config(units=7, kernel="keras", **NETWORKS[name])
    assert memory.weights(settings) == networks.build(settings).count_params()
