from models.loss.dice import dice_loss
from models.loss.embedding import EmbeddingLoss
from models.loss.iou import mean_iou
from models.loss.ohem import ohem_mask
from models.loss.pan_loss import PANLoss

__all__ = ["EmbeddingLoss", "PANLoss", "dice_loss", "mean_iou", "ohem_mask"]
