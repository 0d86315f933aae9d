"""A small data set in the layout of ICDAR 2015, for the tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

QUAD = "10,10,60,10,60,40,10,40"
TRAIN = {"type": "ICDAR2015", "split": "train", "img_size": 64, "short_size": 64, "kernel_scale": 0.5}


def layout(root: Path, labels: dict[str, str], part: str = "training") -> Path:
    """Images (48, 96) and labels of ICDAR 2015."""
    images = root / f"Challenge4/ch4_{part}_images"
    folder = root / f"Challenge4/ch4_{part}_localization_transcription_gt"
    for path in (images, folder):
        path.mkdir(parents=True, exist_ok=True)
    for stem, text in labels.items():
        (images / f"{stem}.png").write_bytes(cv2.imencode(".png", np.full((48, 96, 3), 200, np.uint8))[1].tobytes())
        (folder / f"gt_{stem}.txt").write_text(text)
    return root
