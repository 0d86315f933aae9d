from models.loss.detection_loss import PANLoss, PSENetLoss
from models.loss.dice import dice_loss
from models.loss.embedding import EmbeddingLoss
from models.loss.iou import mean_iou
from models.loss.ohem import ohem_mask

__all__ = ["EmbeddingLoss", "PANLoss", "PSENetLoss", "dice_loss", "mean_iou", "ohem_mask"]
