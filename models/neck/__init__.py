from models.neck.fpem import FPEMNeck
from models.neck.psenet_fpn import PSENetFPN

__all__ = ["FPEMNeck", "PSENetFPN"]
