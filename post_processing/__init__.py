"""From the maps of a detector to polygons in the original image. Works on NumPy arrays, without torch."""

# `pa` and `pse` are also the names of the compiled modules: this import, after theirs, makes them the functions.
from post_processing.extension import pa, pse, require_extension
from post_processing.polygons import (
    Detection,
    decode_pan,
    decode_psenet,
    decoder,
    labels_to_polygons,
    maps_to_polygons,
)

__all__ = [
    "Detection",
    "decode_pan",
    "decode_psenet",
    "decoder",
    "labels_to_polygons",
    "maps_to_polygons",
    "pa",
    "pse",
    "require_extension",
]
