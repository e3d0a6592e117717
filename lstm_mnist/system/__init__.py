"""What the program stands on: TensorFlow's start, whole files and locks, signals, failures."""
