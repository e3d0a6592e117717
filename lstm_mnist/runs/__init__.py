"""One run on disk: its folder, its checkpoints, its execution, and looking at it meanwhile."""
