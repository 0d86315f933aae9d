# distutils: language = c++
# cython: language_level=3, boundscheck=False, wraparound=False
"""Pixel aggregation; this file checks and converts the arguments, pa.hpp does the work."""

import numpy as np

from libc.stdint cimport int32_t, uint8_t

from post_processing.arguments import checked_masks, checked_min_area, require_numbers


cdef extern from "pa.hpp" namespace "kkdnet" nogil:
    void aggregate_pixels(const uint8_t* text, const uint8_t* kernel, const float* emb, int32_t height,
                          int32_t width, double min_area, int32_t* out) except +


def _checked(kernels, emb, min_area):
    """The arguments as C-contiguous, aligned (2, h, w) uint8 and (4, h, w) float32, and min_area as a float."""
    kernels, emb = np.asarray(kernels), np.asarray(emb)
    if kernels.ndim != 3 or kernels.shape[0] != 2:
        raise ValueError(f"pa: kernels must have shape (2, h, w), got {kernels.shape}")
    if emb.shape != (4, *kernels.shape[1:]):
        raise ValueError(f"pa: emb must have shape {(4, *kernels.shape[1:])} like kernels, got {emb.shape}")
    require_numbers("pa", "emb", emb)
    kernels, min_area = checked_masks("pa", kernels), checked_min_area("pa", min_area)
    if emb.dtype != np.float32:
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite: too far from any mean
            emb = emb.astype(np.float32)
    return kernels, np.require(emb, requirements="CA"), min_area


def pa(kernels, emb, min_area=0):
    """Grow text kernels into text instances by pixel aggregation (PAN, Wang et al., ICCV 2019, section 3.4).

    The 4-connected components of the kernel mask, numbered from 1 by their first pixel in row-major order,
    are the seeds; a seed smaller than ``min_area`` pixels is dropped and the others keep their numbers. From
    all seed pixels, in row-major order, labels spread breadth-first over text pixels to the neighbours above,
    below, left and right; a pixel keeps the first label that reaches it. Two seeds in one 4-connected text
    component whose areas differ by a factor above 1024 are both *flagged*: a pixel joins a flagged seed only
    if its embedding lies within 3 (L2, 3 included) of the mean embedding of the seed's pixels, and one that
    was turned away may still join another seed. Flags are a rule of the published implementation; the paper
    has no such thing. Means and distances are taken in float64; NaN is never within 3.

    A seed belongs to the text component of its first pixel inside the text. Kernel pixels outside the text
    keep their seed's label, and a seed wholly outside is never flagged.

    Args:
        kernels: (2, h, w), text mask and kernel mask, non-zero = set; C-contiguous uint8 or bool is fastest,
            other types are converted.
        emb: (4, h, w) pixel embeddings; C-contiguous float32 is fastest, other types are converted.
        min_area: smallest seed kept, in pixels of this map.

    Returns:
        (h, w) int32, 0 = background.

    Raises:
        ValueError: shapes that do not fit, a map of 2**31 pixels or more, or a ``min_area`` that is NaN.
        TypeError: arrays that do not hold real numbers.
    """
    kernels, emb, min_area = _checked(kernels, emb, min_area)
    labels = np.zeros(kernels.shape[1:], dtype=np.int32)
    if labels.size == 0:
        return labels
    cdef const uint8_t[:, :, ::1] masks = kernels
    cdef const float[:, :, ::1] embeddings = emb
    cdef int32_t[:, ::1] out = labels
    cdef int32_t height = <int32_t> labels.shape[0]
    cdef int32_t width = <int32_t> labels.shape[1]
    cdef double smallest = min_area
    with nogil:
        aggregate_pixels(&masks[0, 0, 0], &masks[1, 0, 0], &embeddings[0, 0, 0], height, width, smallest,
                         &out[0, 0])
    return labels
