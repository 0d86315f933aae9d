"""What the demos are made of."""
