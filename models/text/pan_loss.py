"""The training losses of PAN and KKDnet (PAN, section 3.3; PAN++ for the second embedding loss) and of PSENet."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import InputError
from models.registry import LOSSES
from models.text.dice import dice_loss
from models.text.embedding import EmbeddingLoss
from models.text.iou import mean_iou
from models.text.ohem import ohem_mask
from models.text.soft_maps import judged, reduced, soft_map_loss


@LOSSES.register_module()
class PANLoss(nn.Module):
    """Text dice with hard example mining, mean kernel dice inside text, pixel embedding.

    Args:
        text_weight, kernel_weight, embedding_weight: weights of the three terms; 0 leaves the embedding out.
        embedding_version: 1 (PAN) or 2 (PAN++).
        dense_weight: weight of a term that PAN does not have, binary cross-entropy plus dice of the text and of all
            kernels, at every pixel of the logits that is not ignored. (Mined dice gives most pixels little gradient or
            none, and kernels none outside of text.) 0 leaves it out.
    """

    def __init__(
        self,
        text_weight: float = 1.0,
        kernel_weight: float = 0.5,
        embedding_weight: float = 0.25,
        embedding_version: int = 1,
        dense_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.text_weight = text_weight
        self.kernel_weight = kernel_weight
        self.embedding_weight = embedding_weight
        self.embedding = EmbeddingLoss(embedding_version)
        self.dense_weight = dense_weight

    def forward(
        self, logits: Tensor, text: Tensor, kernels: Tensor, training_mask: Tensor, instances: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weighted losses and reported metrics, scalars averaged over the batch.

        Args:
            logits: (B, 1 + K + D, h, w), text, kernels, embedding; resized bilinearly to the targets.
            text, training_mask, instances: (B, H, W); kernels: (B, K, H, W).

        Returns:
            Losses `text`, `kernel`, `embedding` and `dense`, those that have a weight; metrics `iou_text`, `iou_kernel`
            (of the smallest kernel) without gradient.
        """
        dims = logits.shape[1] - 1 - kernels.shape[1]
        if dims < bool(self.embedding_weight):
            raise InputError(
                f"loss {type(self).__name__}: {logits.shape[1]} output maps do not hold text, {kernels.shape[1]} "
                "kernel(s) and embedding; PSENetHead goes with PSENetLoss and data.train.kernel_num, PANHead with "
                "PANLoss and data.train.kernel_scale"
            )
        maps = F.interpolate(logits.float(), size=text.shape[-2:], mode="bilinear", align_corners=False)
        text_logits, kernel_logits, embedding = maps.split([1, kernels.shape[1], dims], dim=1)
        text_logits, in_text = text_logits[:, 0], text * training_mask
        selected = ohem_mask(text_logits, text, training_mask)
        kernel_dice = [dice_loss(kernel_logits[:, k], kernels[:, k], in_text) for k in range(kernels.shape[1])]
        losses = {
            "text": self.text_weight * dice_loss(text_logits, text, selected).mean(),
            "kernel": self.kernel_weight * torch.stack(kernel_dice).mean(),
        }
        if self.embedding_weight:
            cost = self.embedding(embedding, instances, kernels[:, -1], training_mask)
            losses["embedding"] = self.embedding_weight * cost.mean()
        if self.dense_weight:
            size = logits.shape[-2:]
            labels = reduced(torch.cat([text[:, None], kernels], dim=1), size)
            bce, dice = soft_map_loss(logits[:, : labels.shape[1]], labels, judged(training_mask, size))
            losses["dense"] = self.dense_weight * (bce + dice)
        metrics = {
            "iou_text": mean_iou(text_logits, text, training_mask),
            "iou_kernel": mean_iou(kernel_logits[:, -1], kernels[:, -1], in_text),
        }
        return losses, metrics


@LOSSES.register_module()
class PSENetLoss(PANLoss):
    """Text dice with hard example mining and mean dice of all kernels inside text (PSENet, section 3.4).

    Args:
        text_weight, kernel_weight: weights of the two terms, λ and 1−λ in the paper.
    """

    def __init__(self, text_weight: float = 0.7, kernel_weight: float = 0.3) -> None:
        super().__init__(text_weight, kernel_weight, embedding_weight=0.0)
