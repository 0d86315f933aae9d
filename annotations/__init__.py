"""Ground-truth file formats, one module a benchmark: the content of one file in, its instances out.

No policy: nothing is left out, ignored or checked to enclose anything. Training data (`dataset`) and the
evaluation protocols (`eval`) each apply their own rules to the same instances.
"""

from annotations.instance import Instance

__all__ = ["Instance"]
