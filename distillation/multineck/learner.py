"""Central and directional multi-neck knowledge distillation of object detectors (PRCV 2023)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from distillation.base import LEARNERS, Distiller, StepResult, weights_of_teachers
from distillation.fgd_terms import LEVEL_STRIDES, PyramidTerms, box_masks, pyramid_of
from distillation.masks import centre_mask, proposal_mask
from distillation.multineck.centers import Centers, centre_weights, nearest_mse
from distillation.multineck.roi_features import TOP_CHANNELS, roi_descriptors
from errors import InputError
from models.layers import require_range

logger = logging.getLogger(__name__)


@LEARNERS.register_module()
class MultiNeckDistiller(Distiller):
    """A detector with one neck branch per teacher learns with branch i from the pyramid of teacher i.

    Every branch has FGD's terms and an object term: the squared error of FGD's foreground term under a mask made by
    teacher i. The mask is larger on objects whose descriptor is near the teacher's centre of their class, and where its
    detections overlap. It is divided by its mean over an image's map, so that the weight of the term does not depend
    on the number of detections. Centres, detections and features of a teacher come from one pass. What RPN and heads
    use is the merged pyramid; with `merged_teacher` it learns, too, by FGD's terms (not in the paper).

    Args:
        student, teachers: see Distiller. They are detectors that return their features (models.RCNN).
        loss: unused, a detector computes its own.
        centers: class centres of each teacher, in the order of the teachers.
        channels: number of channels of the pyramids.
        weights: weight of the FGD terms of each branch; None for 1/number of teachers each. A branch of weight 0 has
            no object term either: it learns nothing from its teacher.
        object_weight: weight of the object term of every other branch.
        temperature, alpha, beta, gamma, lambda_: see FGDTerms.
        use_centres, use_proposals: sources of the object term's mask. Without either it is 1 everywhere.
        top_channels: number of channels of the ROI descriptors; the same as for the centres.
        normalisation: see fgd_terms.PyramidTerms. The masks are made of the maps as they are.
        merged_teacher: index in `teachers`, from 0, of the one that the merged pyramid learns from, with weight 1;
            None: it learns from none.

    Raises:
        InputError: numbers of teachers, centres, weights and branches that differ, or pyramids that do; no such
            teacher.
    """

    given = (*Distiller.given, "centers")
    task = "objects"

    def __init__(
        self,
        student: nn.Module,
        loss: nn.Module | None,
        teachers: Sequence[nn.Module],
        centers: Sequence[Centers] = (),
        channels: int = 256,
        weights: Sequence[float] | None = None,
        object_weight: float = 2e-6,
        temperature: float = 0.8,
        alpha: float = 1e-3,
        beta: float = 5e-4,
        gamma: float = 5e-4,
        lambda_: float = 5e-6,
        use_centres: bool = True,
        use_proposals: bool = True,
        top_channels: int = TOP_CHANNELS,
        normalisation: str = "none",
        merged_teacher: int | None = None,
    ) -> None:
        super().__init__(student, loss, teachers)
        if merged_teacher not in (None, *range(len(teachers))):
            raise InputError(f"distiller.merged_teacher={merged_teacher!r}: expected 0 to {len(teachers) - 1}, or None")
        for heads in self.teachers.modules():
            if hasattr(heads, "predict_masks"):
                heads.predict_masks = False  # a teacher's masks are not used, only its boxes and scores
        weights = weights_of_teachers("weights", weights, len(teachers))
        require_range("distiller", 1, math.inf, top_channels=top_channels)
        if use_centres and len(centers) != len(teachers):
            raise InputError(
                f"distiller.centers: {len(centers)} given for {len(teachers)} teachers, one each is needed"
            )

        def terms(weight: float, object_weight: float) -> PyramidTerms:
            scaled = dict(alpha=weight * alpha, beta=weight * beta, gamma=weight * gamma, lambda_=weight * lambda_)
            return PyramidTerms(channels, normalisation, temperature=temperature, object_weight=object_weight, **scaled)

        self.branches = nn.ModuleList(terms(weight, object_weight if weight else 0.0) for weight in weights)
        self.merged_teacher = merged_teacher
        self.merged = None if merged_teacher is None else terms(1.0, 0.0)
        self.use_centres, self.use_proposals, self.top_channels = use_centres, use_proposals, top_channels
        for index, own in enumerate(centers if use_centres else ()):
            # Not persistent: the centres have a file of their own.
            self.register_buffer(f"centers{index}", own.table(), persistent=False)
            if missing := own.missing_classes():
                logger.warning("teacher %d: no centre of %s; such boxes weigh 1", index + 1, ", ".join(missing))

    def forward(self, batch: Any) -> StepResult:
        with self.teaching(batch.images):
            taught = [self._teach(teacher, batch) for teacher in self.teachers]
        learnt = self.student(batch.images, batch.sizes, batch.targets)
        if len(learnt.branches) != len(taught):
            raise InputError(
                f"distiller: the student's neck has {len(learnt.branches)} branches for {len(taught)} teachers; "
                "two teachers need model.neck.type='MultiNeckFPN'"
            )
        shared = box_masks([target["boxes"] for target in batch.targets], learnt.branches[0])
        losses = dict(learnt.losses)
        for index, (branch, (levels, found)) in enumerate(zip(learnt.branches, taught)):
            objects = self.object_masks(index, levels, found, batch.targets)
            masks = [{**level, "object": mask} for level, mask in zip(shared, objects)]
            terms = self.branches[index](branch, levels, masks)
            losses |= self.warmed({f"branch{index + 1}_{name}": value for name, value in terms.items()})
        if self.merged is not None:
            terms = self.merged(learnt.pyramid[: len(LEVEL_STRIDES)], taught[self.merged_teacher][0], shared)
            losses |= self.warmed({f"merged_{name}": value for name, value in terms.items()})
        return StepResult(losses)

    def _teach(self, teacher: nn.Module, batch: Any) -> tuple[Sequence[Tensor], Sequence[Mapping[str, Tensor]]]:
        """P2..P5 of a teacher and its detections; proposals and heads only run if these are needed."""
        if not self.use_proposals:
            return pyramid_of(teacher, batch.images), []
        output = teacher(batch.images, batch.sizes)
        return output.pyramid[: len(LEVEL_STRIDES)], output.detections

    @torch.no_grad()
    def object_masks(
        self,
        index: int,
        levels: Sequence[Tensor],
        found: Sequence[Mapping[str, Tensor]],
        targets: Sequence[Mapping[str, Tensor]],
    ) -> list[Tensor]:
        """Masks of the object term, (B, H, W) for each level, with a mean of 1 for each image.

        Args:
            index: index of the teacher, from 0.
            levels: its P2..P5 for the batch, each (B, C, H, W).
            found: its detections in each image; unused without `use_proposals`.
            targets: ground truth of the batch.
        """
        boxes = [target["boxes"] for target in targets]
        values = self.centre_values(index, levels, targets) if self.use_centres else None
        found, scores = ([image[key] for image in found] for key in ("boxes", "scores"))
        masks = []
        for level, stride in zip(levels, LEVEL_STRIDES):
            size = level.shape[-2:]
            mask = level.new_ones(len(boxes), *size, dtype=torch.float32)
            if self.use_centres:
                mask = mask * centre_mask(boxes, values, size, stride)
            if self.use_proposals:
                mask = mask * proposal_mask(found, scores, size, stride)
            masks.append(mask / mask.mean((1, 2), keepdim=True))
        return masks

    def centre_values(
        self, index: int, levels: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]]
    ) -> tuple[Tensor, ...]:
        """Weights of ground-truth boxes, B times (n,), at least 1; larger near the teacher's centre of the class."""
        descriptors = roi_descriptors(levels, [target["boxes"] for target in targets], self.top_channels)
        labels = torch.cat([target["labels"] for target in targets])
        values = centre_weights(nearest_mse(descriptors, labels, getattr(self, f"centers{index}")))
        return values.split([len(target["labels"]) for target in targets])
