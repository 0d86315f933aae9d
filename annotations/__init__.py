"""Parsers of ground-truth file formats, one module per benchmark: content of one file to its instances.

No policy is applied: no instance is left out, ignored or checked for an area. Training data (`dataset`) and the
evaluation protocols (`eval`) each apply their own rules to the same instances.
"""

from annotations.instance import Instance

__all__ = ["Instance"]
