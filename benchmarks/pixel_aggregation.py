"""Time of pixel aggregation on a map of 160x256 with 66 texts, beside its reference and OpenCV's components."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness import Row, compare, main  # isort: skip  (puts the project on the path)

import cv2
import numpy as np
from maps import embeddings, text_maps

from post_processing import pa
from reference.post_processing import pa_reference

SIZE = (160, 256)
INSTANCES = 66
RUNS = 100  # of both, where the other one is as fast


def same_labels(ours: np.ndarray, reference: np.ndarray) -> str:
    np.testing.assert_array_equal(ours, reference)
    return f"labels equal, {ours.max()} instances"


def repeated(run: Callable[[], Any]) -> Callable[[], Any]:
    def runs() -> Any:
        for _ in range(RUNS):
            result = run()
        return result

    return runs


def measure() -> list[Row]:
    rng = np.random.default_rng(0)
    kernels, emb = text_maps(rng, SIZE, INSTANCES), embeddings(rng, SIZE)

    def same_seeds(ours: np.ndarray, components: tuple[int, np.ndarray]) -> str:
        np.testing.assert_array_equal(ours[kernels[1] > 0], components[1][kernels[1] > 0])
        return "numbers of the kernels, which are all that OpenCV finds"

    return [
        compare(
            "pa, 160x256, 66 texts",
            lambda: pa(kernels, emb),
            lambda: pa_reference(kernels, emb),
            same_labels,
            reference_name="pa_reference",
            seconds=4,
        ),
        compare(
            f"{RUNS} times pa, 160x256, 66 texts",
            repeated(lambda: pa(kernels, emb)),
            repeated(lambda: cv2.connectedComponents(kernels[1], connectivity=4)),
            same_seeds,
            reference_name="cv2.connectedComponents of the kernels",
            seconds=3,
        ),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
