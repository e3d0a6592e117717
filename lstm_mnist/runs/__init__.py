"""One run on disk: its folder, checkpoints and execution, and probes of it."""
