"""A faithful reproduction of a TensorFlow 1 script that trains an LSTM on the rows of MNIST."""

__version__ = "1.0.0"
