"""Arrays as they come: what the compiled functions copy before they read it."""

import numpy as np
from post_processing.pa import _checked

from post_processing import pa


def misaligned(array: np.ndarray) -> np.ndarray:
    """A copy whose first element lies at an odd address."""
    raw = np.empty(array.nbytes + 1, np.uint8)
    copy = raw[1:].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def test_misaligned_arrays_are_copied_before_they_are_read():
    rng = np.random.default_rng(0)
    kernels, emb = rng.random((2, 9, 11)) > 0.4, rng.normal(size=(4, 9, 11)).astype(np.float32)
    assert not misaligned(emb).flags.aligned
    checked_kernels, checked_emb, _ = _checked(misaligned(kernels), misaligned(emb), 0)
    assert checked_emb.flags.aligned and checked_emb.flags.c_contiguous and checked_kernels.flags.aligned
    np.testing.assert_array_equal(checked_emb, emb)
    np.testing.assert_array_equal(pa(misaligned(kernels), misaligned(emb)), pa(kernels, emb))
    assert _checked(kernels, emb, 0)[1] is emb  # nothing is copied without need
