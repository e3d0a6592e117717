"""Time per epoch beside stock Keras, PyTorch, JAX and the machine's own matrix products."""
