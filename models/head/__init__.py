from models.head.dense_head import PANHead, PSENetHead

__all__ = ["PANHead", "PSENetHead"]
