"""The training loss of PAN and KKDnet (PAN, section 3.3; PAN++ for the second embedding loss)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.loss.dice import dice_loss
from models.loss.embedding import EmbeddingLoss
from models.loss.iou import mean_iou
from models.loss.ohem import ohem_mask
from models.registry import LOSSES


@LOSSES.register_module()
class PANLoss(nn.Module):
    """Text dice with hard example mining, kernel dice inside text, pixel embedding.

    Args:
        text_weight, kernel_weight, embedding_weight: weights of the three terms; 0 leaves the embedding out.
        embedding_version: 1 (PAN) or 2 (PAN++).
    """

    def __init__(
        self,
        text_weight: float = 1.0,
        kernel_weight: float = 0.5,
        embedding_weight: float = 0.25,
        embedding_version: int = 1,
    ) -> None:
        super().__init__()
        self.text_weight = text_weight
        self.kernel_weight = kernel_weight
        self.embedding_weight = embedding_weight
        self.embedding = EmbeddingLoss(embedding_version)

    def forward(
        self, logits: Tensor, text: Tensor, kernels: Tensor, training_mask: Tensor, instances: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weighted losses and reported metrics, scalars averaged over the batch.

        Args:
            logits: (B, 6, h, w), brought to the size of the targets bilinearly.
            text, training_mask, instances: (B, H, W); kernels: (B, K, H, W), of which K = 1 here.

        Returns:
            Losses `text`, `kernel`, `embedding`; metrics `iou_text`, `iou_kernel` without gradient.
        """
        maps = F.interpolate(logits.float(), size=text.shape[-2:], mode="bilinear", align_corners=False)
        text_logits, kernel_logits, embedding = maps.split([1, 1, maps.shape[1] - 2], dim=1)
        text_logits, kernel_logits = text_logits.squeeze(1), kernel_logits.squeeze(1)
        kernel, in_text = kernels[:, 0], text * training_mask
        selected = ohem_mask(text_logits, text, training_mask)
        losses = {
            "text": self.text_weight * dice_loss(text_logits, text, selected).mean(),
            "kernel": self.kernel_weight * dice_loss(kernel_logits, kernel, in_text).mean(),
        }
        if self.embedding_weight:
            cost = self.embedding(embedding, instances, kernel, training_mask)
            losses["embedding"] = self.embedding_weight * cost.mean()
        metrics = {
            "iou_text": mean_iou(text_logits, text, training_mask),
            "iou_kernel": mean_iou(kernel_logits, kernel, in_text),
        }
        return losses, metrics
