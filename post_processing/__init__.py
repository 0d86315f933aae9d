"""From the maps of a detector to polygons in the original image. Works on NumPy arrays, without torch."""

# `pa` is also the name of the compiled module: this import, after that module's, makes it the function.
from post_processing.extension import pa, require_extension
from post_processing.polygons import Detection, decode_pan, labels_to_polygons

__all__ = ["Detection", "decode_pan", "labels_to_polygons", "pa", "require_extension"]
