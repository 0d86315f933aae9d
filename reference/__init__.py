"""Literal, slow reference implementations for comparison; only tests and benchmarks import them."""
