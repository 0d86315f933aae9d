"""Stand-ins for object detectors, and batches for them, shared by the tests of their distillation."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dataset.objects.records import ObjectBatch

CHANNELS = 6


class Output(NamedTuple):
    pyramid: tuple[Tensor, ...]
    branches: tuple[tuple[Tensor, ...], ...]
    losses: dict[str, Tensor]
    detections: list[dict[str, Tensor]]


class SmallDetector(nn.Module):
    """Has the inputs and outputs of models.RCNN: a convolution per level and branch, and detections that are given."""

    def __init__(self, branches: int = 1, channels: int = CHANNELS, detections: list[dict] | None = None) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(3, channels, 3, padding=1) for _ in range(4)) for _ in range(branches)
        )
        self.detections = detections

    def features(self, images: Tensor) -> tuple[dict[str, Tensor], tuple[tuple[Tensor, ...], ...]]:
        shrunk = [nn.functional.avg_pool2d(images, stride) for stride in (4, 8, 16, 32)]
        branches = tuple(tuple(conv(level) for conv, level in zip(convs, shrunk)) for convs in self.convs)
        merged = [sum(levels) for levels in zip(*branches)]
        return dict(zip("0123", merged)), branches

    def forward(self, images: Tensor, sizes: list, targets: list | None = None) -> Output:
        pyramid, branches = self.features(images)
        pyramid = tuple(pyramid.values())
        if self.training:
            assert len(targets) == len(images) == len(sizes)
            return Output(pyramid, branches, {"box": branches[0][0].square().mean()}, [])
        none = {"boxes": images.new_zeros(0, 4), "scores": images.new_zeros(0)}
        return Output(pyramid, branches, {}, self.detections or [none] * len(images))


def random_batch(boxes: list[list] | None = None, size: tuple[int, int] = (64, 96), seed: int = 0) -> ObjectBatch:
    """Two images; `boxes` are rows of x1, y1, x2, y2, label."""
    if boxes is None:
        boxes = [[[3, 5, 40, 60, 1], [20, 10, 96, 50, 2], [0, 0, 9, 9, 1]], [[50, 2, 60, 30, 3]]]
    rows = [torch.tensor(own, dtype=torch.float32).reshape(-1, 5) for own in boxes]
    return ObjectBatch(
        images=torch.randn(len(boxes), 3, *size, generator=torch.Generator().manual_seed(seed)),
        sizes=[size] * len(boxes),
        targets=[{"boxes": own[:, :4], "labels": own[:, 4].long()} for own in rows],
        image_ids=list(range(len(boxes))),
        original_sizes=[size] * len(boxes),
        names=[f"image{i}" for i in range(len(boxes))],
    )


def trained_contexts(module: nn.Module) -> nn.Module:
    """The context blocks with random weights in their last convolutions, which begin at zero."""
    for name, parameter in module.named_parameters():
        if "transform.3" in name:
            nn.init.normal_(parameter, 0, 0.5)
    return module
