"""FGD for text detectors: focal and global distillation (Yang et al., CVPR 2022) with the boxes of text instances."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from distillation.base import LEARNERS
from distillation.fgd_terms import PyramidTerms, box_masks
from distillation.text import TextDistiller
from models import TextOutput

LABELS = 256  # values of a uint8 map
FAR = 2**31


def instance_boxes(instances: Tensor) -> list[Tensor]:
    """The bounding boxes of the labels 1..n of maps (B, H, W), without labels that have no pixel.

    Returns:
        B times (n, 4): x1, y1, x2, y2 in pixels, the last pixel's far edge included.
    """
    image, y, x = instances.nonzero().T
    corners = torch.stack([x, y, -(x + 1), -(y + 1)])  # (4, P): the minimum of each row is a corner
    least = corners.new_full((4, len(instances) * LABELS), FAR)
    least.scatter_reduce_(1, (image * LABELS + instances[image, y, x]).expand(4, -1), corners, "amin")
    least[2:] *= -1
    return [box[:, box[0] < FAR].T.float() for box in least.split(LABELS, dim=1)]


@LEARNERS.register_module()
class FGDTextDistiller(TextDistiller):
    """A text detector learns the enhanced pyramid, strides 4 to 32, with FGD's attention and masks.

    The adaptation layer comes after it and learns from the task losses alone. Ignored text counts as background.

    Args:
        student, loss, teachers, teacher_weights: see TextDistiller. Each teacher has context modules of its own.
        temperature, alpha, beta, gamma, lambda_: see fgd_terms.FGDTerms; the defaults are those of the paper.

    Raises:
        InputError: pyramids that differ.
    """

    uses_pyramid = True

    def __init__(
        self,
        *core: Any,
        temperature: float = 0.5,
        alpha: float = 1e-3,
        beta: float = 5e-4,
        gamma: float = 5e-4,
        lambda_: float = 5e-6,
        **more: Any,
    ) -> None:
        super().__init__(*core, **more)
        self.match_pyramids()
        options = dict(temperature=temperature, alpha=alpha, beta=beta, gamma=gamma, lambda_=lambda_)
        self.pyramids = nn.ModuleList(PyramidTerms(t.neck.channels[0], **options) for t in self.teachers)

    def terms(self, learnt: TextOutput, taught: TextOutput, batch: Any, number: int) -> dict[str, Tensor]:
        masks = box_masks(instance_boxes(batch.instances), taught.pyramid)
        terms = self.pyramids[number - 1](learnt.pyramid, taught.pyramid, masks)
        return {f"fgd_{name}": value for name, value in terms.items()}
