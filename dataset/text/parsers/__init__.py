"""Readers of the benchmarks' annotations. Importing this package fills `dataset.registry.PARSERS`."""

from dataset.text.parsers import ctw1500, icdar2015, msra_td500, synthtext, total_text

__all__ = ["ctw1500", "icdar2015", "msra_td500", "synthtext", "total_text"]
