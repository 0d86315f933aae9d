"""Training on Lightning: one run, its checkpoints, and going on with it."""
