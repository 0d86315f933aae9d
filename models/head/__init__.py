from models.head.cascade import CascadeHeads
from models.head.dense_head import PANHead, PSENetHead
from models.head.rcnn_heads import FasterHeads, MaskHeads
from models.head.rpn import RPN

__all__ = ["RPN", "CascadeHeads", "FasterHeads", "MaskHeads", "PANHead", "PSENetHead"]
