"""Training and inference: the only code that uses the training library."""
