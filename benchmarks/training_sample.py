"""Times one augmented training sample of 640x640, from the JPEG on disk on, on one core."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from itertools import cycle
from pathlib import Path

from harness import Row, compare, main

from reference.augmentation import grey_levels, overlap, plain_sample  # isort: skip
import cv2
import numpy as np
import torch

from dataset import build_dataset
from dataset.synthetic.text_set import STANDARD, write_dataset
from dataset.text.samples import TrainSample

IMAGES, SIZE, INSTANCES = 16, (1024, 768), 12
KERNELS = {"PAN and KKD, 1 kernel": {"kernel_scale": 0.7}, "PSENet, 6 kernels": {"kernel_num": 7, "min_scale": 0.7}}


def measure() -> list[Row]:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        style = replace(STANDARD, instances=(INSTANCES, INSTANCES), empty=0.0)
        write_dataset(Path(folder) / "ctw1500", IMAGES, 0, SIZE, style=style)
        return [row(Path(folder) / "ctw1500", name, kernels) for name, kernels in KERNELS.items()]


def row(root: Path, name: str, kernels: dict[str, float]) -> Row:
    """One image after the other, each with the random numbers that training draws for it in epoch 0."""
    dataset = build_dataset({"type": "CTW1500", "split": "train", **kernels}, root, training=True)
    size, ratios = dataset.transform.img_size, dataset.transform.ratios

    def plain(index: int) -> TrainSample:
        rng = np.random.default_rng([dataset.seed, 0, index])
        return plain_sample(dataset.parser[index], rng, size, ratios)

    ours, reference = (map(sample, cycle(range(IMAGES))).__next__ for sample in (dataset.__getitem__, plain))
    work = f"1 sample ({name}) of an image of {SIZE[0]}x{SIZE[1]} with {INSTANCES} instances"
    return compare(work, ours, reference, agreement, reference_name="every map step by step")


def agreement(ours: TrainSample, reference: TrainSample) -> str:
    """Of the first image."""
    levels = grey_levels(ours.image, reference.image)
    text, kernels = (
        overlap(getattr(ours.targets, name), getattr(reference.targets, name)) for name in ("text", "kernels")
    )
    assert levels < 5 and text > 0.95 and kernels > 0.9, (levels, text, kernels)
    return f"image to {levels:.1f} of 255 levels on average; IoU of text {text:.3f}, of kernels {kernels:.3f}"


if __name__ == "__main__":
    main(measure, __doc__)
