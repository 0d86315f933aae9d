from models.neck.fpem import FPEMNeck

__all__ = ["FPEMNeck"]
