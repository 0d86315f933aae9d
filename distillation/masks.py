"""Pixel weights of the pyramid levels, for the distillation of object detectors.

Boxes are (n, 4), x1, y1, x2, y2 in pixels of the padded batch. On a level of stride s a box covers the cells
floor(x1/s) to ceil(x2/s), both included, and likewise in y, as in FGD (Yang et al., CVPR 2022). Cells beyond the border
of the map are left out, so a box that lies outside covers nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_STRIP = 2**19  # most cells in memory at once, summed over the boxes


def foreground_mask(boxes: Sequence[Tensor], size: tuple[int, int], stride: int) -> Tensor:
    """Foreground mask, which gives every object the same total weight, whatever its size.

    Args:
        boxes: boxes of each image, B times (n, 4); n may be 0.
        size: (H, W) of the level.
        stride: pixels of the image per cell.

    Returns:
        (B, H, W): 1 / number of cells of the box, the larger value where boxes overlap; 0 outside. Cells that a box
        has beyond the border count in its number (as in FGD), though they are not on the map.
    """
    return torch.stack([_largest(image, 1 / _number_of_cells(image, stride), size, stride) for image in boxes])


def background_mask(foreground: Tensor) -> Tensor:
    """Background mask (B, H, W) of a foreground mask: 1 / number of cells outside all boxes of the image, 0 inside."""
    outside = (foreground == 0).float()
    return outside / outside.sum((1, 2), keepdim=True).clamp(min=1)


def centre_mask(boxes: Sequence[Tensor], values: Sequence[Tensor], size: tuple[int, int], stride: int) -> Tensor:
    """Mask (B, H, W): 1 outside boxes, inside a box its value (B times (n,), at least 1), the larger in overlaps."""
    return torch.stack([_largest(*image, size, stride).clamp(min=1) for image in zip(boxes, values)])


def proposal_mask(
    boxes: Sequence[Tensor],
    scores: Sequence[Tensor],
    size: tuple[int, int],
    stride: int,
    base: float = 4.0,
    min_score: float = 0.2,
) -> Tensor:
    """Mask (B, H, W): `base`, plus twice the score of every detection above `min_score` that covers the cell.

    Args:
        boxes, scores: detections of a teacher, B times (n, 4) and (n,).
    """
    added = [2 * image * (image > min_score) for image in scores]
    return torch.stack([base + _sum(*image, size, stride) for image in zip(boxes, added)])


def _largest(boxes: Tensor, values: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """(H, W): the largest of the values (n,), all above 0, of the boxes that cover a cell; 0 where there is none.

    The boxes are laid over a strip of rows at a time, which fits into a processor's cache.
    """
    if not len(boxes):
        return boxes.new_zeros(size)
    rows, columns = _covered(boxes, size, stride)
    rows, columns = torch.where(rows, values[:, None], 0), torch.where(columns, torch.inf, 0)
    strips = rows.split(max(1, _STRIP // columns.numel()), dim=1)  # (n, h) each
    return torch.cat([torch.minimum(strip[:, :, None], columns[:, None]).amax(0) for strip in strips])


def _sum(boxes: Tensor, values: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """(H, W): the sum of the values (n,) of the boxes that cover a cell.

    A sum of outer products of rows and columns is a matrix product. In float64 nothing (autocast, TF32) rounds it.
    """
    rows, columns = (covered.double() for covered in _covered(boxes, size, stride))
    return (rows.T @ (values[:, None] * columns)).to(values.dtype)


def _covered(boxes: Tensor, size: tuple[int, int], stride: int) -> tuple[Tensor, Tensor]:
    """Rows (n, H) and columns (n, W) of the map that each box covers."""
    x1, y1, x2, y2 = _cells(boxes, stride).T[..., None]  # (n, 1) each
    y, x = (torch.arange(side, device=boxes.device) for side in size)
    return (y1 <= y) & (y <= y2), (x1 <= x) & (x <= x2)


def _number_of_cells(boxes: Tensor, stride: int) -> Tensor:
    x1, y1, x2, y2 = _cells(boxes, stride).T
    return (x2 - x1 + 1) * (y2 - y1 + 1)


def _cells(boxes: Tensor, stride: int) -> Tensor:
    """First and last cell of each box, (n, 4) in the order of the boxes."""
    return torch.cat([(boxes[:, :2] / stride).floor(), (boxes[:, 2:] / stride).ceil()], dim=1)
