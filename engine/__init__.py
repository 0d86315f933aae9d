"""Training and inference: the only code that knows the training library."""
