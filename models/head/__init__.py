from models.head.pan_head import PANHead

__all__ = ["PANHead"]
