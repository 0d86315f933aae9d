"""Learners of multi-neck distillation, small ones."""

import numpy as np
import torch
from small_detectors import CHANNELS, SmallDetector, trained_contexts

from distillation.multineck.centers import Centers
from distillation.multineck.learner import MultiNeckDistiller
from distillation.multineck.provenance import Provenance


def detections(seed: int, images: int = 2) -> list[dict[str, torch.Tensor]]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(images):
        corner = rng.uniform(0, 50, (6, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(1, 40, (6, 2))], 1).astype(np.float32)
        found.append({"boxes": torch.from_numpy(boxes), "scores": torch.from_numpy(rng.random(6).astype(np.float32))})
    return found


def random_centers(seed: int, labels: tuple[int, ...] = (1, 2, 2, 3)) -> Centers:
    origin = Provenance("t.pth", "0" * 64, ("cat", "dog", "cow"), "a.json", "0" * 64, 4, "0" * 64, {})
    centres = np.random.default_rng(seed).normal(0, 0.1, (len(labels), 49)).astype(np.float32)
    return Centers(centres, np.array(labels, np.int32), origin)


def build(number: int = 2, **options) -> MultiNeckDistiller:
    torch.manual_seed(0)
    # The second has a multi-neck, too: it teaches the pyramid that its heads use.
    teachers = [SmallDetector(1 + (seed == 1), detections=detections(seed)) for seed in range(number)]
    options = {"centers": [random_centers(seed) for seed in range(number)], "channels": CHANNELS, **options}
    return trained_contexts(MultiNeckDistiller(SmallDetector(branches=number), None, teachers, **options))
