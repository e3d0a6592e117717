"""PyTorch: torch.nn.LSTM, whose CPU arithmetic is oneDNN's fused LSTM."""

import os
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.contenders import orders, steps
from lstm_mnist import data
from lstm_mnist.config import CLASSES, Config

EVALUATION_BATCH_SIZE = 500


class Network(torch.nn.Module):
    """An LSTM whose final cell state a linear layer reads."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(features, units, batch_first=True)
        self.dense = torch.nn.Linear(units, CLASSES)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise as Keras does; of PyTorch's two biases, the second stays zeros.

        Trained as well, it would move their sum twice as far.
        """
        for parameter in self.parameters():
            parameter.zero_()
        torch.nn.init.xavier_uniform_(self.lstm.weight_ih_l0)
        torch.nn.init.orthogonal_(self.lstm.weight_hh_l0)
        forget = slice(self.lstm.hidden_size, 2 * self.lstm.hidden_size)
        self.lstm.bias_ih_l0[forget] = 1.0
        self.lstm.bias_hh_l0.requires_grad_(False)
        torch.nn.init.xavier_uniform_(self.dense.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits [B, 10] of images [B, 28, 28]."""
        return self.outputs(images)[-1]

    def outputs(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the final h and c [B, units] and the logits [B, 10] of images [B, 28, 28]."""
        _, (hidden, cell) = self.lstm(images)
        return hidden[0], cell[0], self.dense(cell[0])


class Contender:
    """The data is one tensor; PyTorch's own loop of steps, with the fused Adam."""

    def __init__(self, config: Config, dataset: data.Dataset) -> None:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        torch.manual_seed(config.seed)
        self._train, self._test = (
            (torch.from_numpy(split.images), torch.from_numpy(split.labels).long())
            for split in (dataset.train, dataset.test)
        )
        self._orders = orders(config, dataset)
        self._network = Network(dataset.train.pixels.shape[2], config.units)
        self._loss = torch.nn.CrossEntropyLoss()
        self._optimizer = torch.optim.Adam(
            [parameter for parameter in self._network.parameters() if parameter.requires_grad],
            lr=config.learning_rate,
            eps=config.epsilon,
            fused=True,
        )
        self._schedule = (
            torch.optim.lr_scheduler.CosineAnnealingLR(
                self._optimizer, T_max=config.epochs * steps(config, dataset)
            )
            if config.schedule == "cosine"
            else None
        )

    def train_epoch(self) -> None:
        """Take one step per batch."""
        self.train(next(self._orders))

    def train(self, order: NDArray[np.int64]) -> None:
        """Take one step per row of indices [steps, B]."""
        images, labels = self._train
        for index in torch.from_numpy(order):
            self._optimizer.zero_grad()
            self._loss(self._network(images[index]), labels[index]).backward()
            self._optimizer.step()
            if self._schedule:
                self._schedule.step()

    @torch.no_grad()
    def set_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Set the weights by their names in this project; the gates are in the same order."""
        lstm, dense = self._network.lstm, self._network.dense
        for parameter, name in (
            (lstm.weight_ih_l0, "kernel"),
            (lstm.weight_hh_l0, "recurrent_kernel"),
            (lstm.bias_ih_l0, "bias"),
            (dense.weight, "dense_kernel"),
            (dense.bias, "dense_bias"),
        ):
            parameter.copy_(torch.from_numpy(weights[name].T))

    @torch.inference_mode()
    def outputs(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Return the final h and c [B, units] and the logits [B, 10] of images [B, 28, 28]."""
        return tuple(part.numpy() for part in self._network.outputs(torch.from_numpy(images)))

    @torch.inference_mode()
    def evaluate(self) -> tuple[float, float]:
        """Return the accuracy over all training and over all test images."""
        return self._accuracy(*self._train), self._accuracy(*self._test)

    def _accuracy(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        predicted = [self._network(part).argmax(1) for part in images.split(EVALUATION_BATCH_SIZE)]
        return float((torch.cat(predicted) == labels).float().mean())
