from models.neck.fpem import FPEMNeck
from models.neck.fpn import FPNNeck

__all__ = ["FPEMNeck", "FPNNeck"]
