"""Benchmarks by the name a configuration gives them: `data.train = dict(type='CTW1500', ...)`."""

from mmengine.registry import Registry

PARSERS = Registry("parser", scope="kkdnet")
