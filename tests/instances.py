"""What tests compare of the instances that a reader returns."""

from __future__ import annotations

import numpy as np

from annotations import Instance


def polygons(instances: list[Instance]) -> list[list[tuple[float, ...]]]:
    assert all(i.polygon.dtype == np.float64 and i.polygon.shape[1:] == (2,) for i in instances)
    return [list(map(tuple, i.polygon.tolist())) for i in instances]


def transcriptions(instances: list[Instance]) -> list[str]:
    return [i.transcription for i in instances]
