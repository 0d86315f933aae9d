"""Learning-rate schedules: pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence


def poly(step: int, total: int, power: float = 0.9) -> float:
    """Factor on the initial rate after `step` of `total` iterations: (1 - step / total) ** power (PAN, section 4.2)."""
    return (1 - min(step, total) / total) ** power


def cosine(step: int, total: int) -> float:
    """Factor on the initial rate, from 1 to 0 by half a cosine (SGDR, Loshchilov and Hutter, ICLR 2017, equation 5)."""
    return 0.5 * (1 + math.cos(math.pi * min(step, total) / total))


def warm_up(step: int, length: int, start: float = 1e-3) -> float:
    """Factor on the rate of a schedule: linear from `start` to 1 over the first `length` iterations."""
    return 1.0 if step >= length else start + (1 - start) * step / length


def multistep(step: int, milestones: Sequence[int], gamma: float = 0.1) -> float:
    """Factor on the initial rate: gamma for every milestone (in iterations) that has been reached."""
    return gamma ** sum(step >= milestone for milestone in milestones)
