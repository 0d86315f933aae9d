from models.neck.fpem import FPEMNeck
from models.neck.fpn import FPN, TwinFPN
from models.neck.psenet_fpn import PSENetFPN

__all__ = ["FPN", "FPEMNeck", "PSENetFPN", "TwinFPN"]
