# distutils: language = c++
# cython: language_level=3, boundscheck=False, wraparound=False
"""Progressive scale expansion; this file checks and converts the arguments, pse.hpp does the work."""

import numpy as np

from libc.stdint cimport int32_t, uint8_t

from post_processing.arguments import checked_masks, checked_min_area


cdef extern from "pse.hpp" namespace "kkdnet" nogil:
    void expand_scales(const uint8_t* kernels, size_t count, int32_t height, int32_t width, double min_area,
                       int32_t* out) except +


def pse(kernels, min_area=0):
    """Grow text kernels into text instances by progressive scale expansion (PSENet, Wang et al., CVPR 2019).

    The 4-connected components of the last and smallest kernel, numbered from 1 by their first pixel in
    row-major order, are the seeds; a seed smaller than ``min_area`` pixels is dropped and the others keep
    their numbers. Labels spread breadth-first through the other kernels, from small to large, and last through
    the text mask (Algorithm 1 of the paper), to the neighbours above, below, left and right; a pixel keeps the
    first label that reaches it.

    The first of these scales starts from all seed pixels in row-major order. Each later one continues from the
    pixels at the edge of the previous one: those from which nothing was labelled there, in the order in which
    they were taken from its queue. A pixel that did pass its label on at one scale is not looked at again, so
    that a neighbour of it which only a larger scale sets waits for another pixel, or stays background. This is
    the behaviour of the published implementation, which the paper leaves open.

    Scales need not contain one another: a label stays where it is, and only the scale at hand bounds growth.

    Args:
        kernels: (n, h, w), n >= 2: text mask, then kernel masks from large to small, non-zero = set;
            C-contiguous uint8 or bool is fastest, other types are converted.
        min_area: smallest seed kept, in pixels of this map.

    Returns:
        (h, w) int32, 0 = background.

    Raises:
        ValueError: another shape, a map of about 2**31 pixels or more, or a ``min_area`` that is NaN.
        TypeError: an array that does not hold real numbers.
    """
    kernels = np.asarray(kernels)
    if kernels.ndim != 3 or kernels.shape[0] < 2:
        raise ValueError(f"pse: kernels must have shape (n, h, w) with n of at least 2, got {kernels.shape}")
    kernels = checked_masks("pse", kernels)
    cdef double smallest = checked_min_area("pse", min_area)
    labels = np.zeros(kernels.shape[1:], dtype=np.int32)
    if labels.size == 0:
        return labels
    cdef const uint8_t[:, :, ::1] masks = kernels
    cdef int32_t[:, ::1] out = labels
    with nogil:
        expand_scales(&masks[0, 0, 0], masks.shape[0], <int32_t> masks.shape[1], <int32_t> masks.shape[2],
                      smallest, &out[0, 0])
    return labels
