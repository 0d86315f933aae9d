"""Training on Lightning: one run, its checkpoints, and its resumption."""
