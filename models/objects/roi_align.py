"""RoIAlign over a feature pyramid (He et al., ICCV 2017; the level of a box: Lin et al., CVPR 2017, equation 1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

from models import stream
from models.objects.fpn import LEVELS, STRIDES, Pyramid

_SAMPLES = 2  # per bin and direction


class PyramidRoIAlign(MultiScaleRoIAlign):
    """RoIAlign over P2..P5 with their true strides, 2x2 samples per bin.

    torchvision guesses the strides once, from the first images it sees, and guesses wrong when these are much smaller
    than the padded batch. Its CPU kernel, one thread that takes one channel after the other, is replaced by a weighted
    sum of the cells around the samples, over all channels at once; values differ by rounding.
    Kept because the trainings of `make demo-multineck` are clearly slower without it.
    """

    def __init__(self, output_size: int) -> None:
        super().__init__(list(LEVELS[:4]), output_size, sampling_ratio=_SAMPLES)
        self.scales = [1 / stride for stride in STRIDES[:4]]
        self.map_levels = initLevelMapper(2, 5)

    def forward(self, x: Pyramid, boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        """(n, C, side, side), the boxes of all images in order; pixels of the padded batch. `image_shapes`: unused."""
        if stream.stalls(boxes[0]):
            return super().forward(x, boxes, image_shapes)
        maps = [x[name] for name in self.featmap_names]
        cells, weights = self._cells([level.shape for level in maps], boxes)
        table = torch.cat([level.permute(0, 2, 3, 1).flatten(0, 2).float() for level in maps])  # (all cells, C)
        pooled = F.embedding_bag(cells, table, mode="sum", per_sample_weights=weights)  # (n * side * side, C)
        pooled = pooled.view(-1, *self.output_size, table.shape[1]).to(maps[0].dtype)
        return pooled.permute(0, 3, 1, 2).contiguous()

    def _cells(self, shapes: list[torch.Size], boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Cells that a bin sums, and their weights, (n * side * side, 16) both.

        A cell is its row in a table of the cells of all levels, of each level image by image.
        """
        image = torch.cat([torch.full((len(own),), i) for i, own in enumerate(boxes)])
        level = self.map_levels(boxes).clamp(0, len(shapes) - 1)  # a box that is not finite has no level
        height, width, starts = self._places(shapes)
        start = starts[level] + image * (height * width)[level]
        x1, y1, x2, y2 = (torch.cat(boxes) * torch.tensor(self.scales)[level][:, None]).T
        rows, row_weights = self._samples(y1, y2, height[level])
        columns, column_weights = self._samples(x1, x2, width[level])
        row_starts = start[:, None, None] + rows * width[level][:, None, None]  # (n, side, 4)
        cells = row_starts[:, :, None, :, None] + columns[:, None, :, None, :]  # (n, side, side, 4, 4)
        weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
        return cells.flatten(3).flatten(0, 2), weights.flatten(3).flatten(0, 2)

    @staticmethod
    def _places(shapes: list[torch.Size]) -> tuple[Tensor, Tensor, Tensor]:
        """Height and width of each level, and the row of the table with which it begins."""
        images, _, height, width = torch.tensor([list(shape) for shape in shapes]).T
        sizes = images * height * width
        return height, width, sizes.cumsum(0) - sizes

    def _samples(self, first: Tensor, last: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """One direction: the four cells that a bin looks at, and their weights, (n, side, 4) both.

        A sample lies between two cells; within one cell beyond the border it takes the border's, farther out nothing.
        """
        side = self.output_size[0]
        first, last, size = (value[:, None, None] for value in (first, last, size))
        step = (last - first).clamp(min=1) / side
        within = (torch.arange(_SAMPLES) + 0.5) / _SAMPLES
        at = first + torch.arange(side)[:, None] * step + within * step  # (n, side, 2)
        inside = (at >= -1) & (at <= size)
        at = torch.where(inside, at, 0).clamp(min=0).minimum(size - 1)
        low = at.floor()
        upper = at - low
        cells = torch.stack([low, (low + 1).minimum(size - 1)], dim=3).long()
        weights = torch.stack([1 - upper, upper], dim=3) * inside[..., None] / _SAMPLES
        return cells.flatten(2), weights.flatten(2)
