"""Time of progressive scale expansion through seven maps of 160x256 with 66 texts, beside its reference."""

from __future__ import annotations

from harness import Row, compare, main  # isort: skip  (puts the project on the path)

import numpy as np
from maps import text_maps

from post_processing import pse
from reference.post_processing import pse_reference


def same_labels(ours: np.ndarray, reference: np.ndarray) -> str:
    np.testing.assert_array_equal(ours, reference)
    return f"labels equal, {ours.max()} instances"


def measure() -> list[Row]:
    kernels = text_maps(np.random.default_rng(0), (160, 256), 66, kernels=6)
    return [
        compare(
            "pse, 7x160x256, 66 texts",
            lambda: pse(kernels),
            lambda: pse_reference(kernels),
            same_labels,
            reference_name="pse_reference",
            seconds=5,
        )
    ]


if __name__ == "__main__":
    main(measure, __doc__)
