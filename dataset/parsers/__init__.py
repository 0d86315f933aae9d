"""Readers of the benchmarks' annotations. Importing this package fills `dataset.registry.PARSERS`."""

from dataset.parsers import ctw1500

__all__ = ["ctw1500"]
