"""Time from a label map of 160x256 with 66 texts to scored polygons in original pixels, beside full-size masks."""

from __future__ import annotations

from harness import Row, compare, main  # isort: skip  (puts the project on the path)

import numpy as np
from maps import embeddings, logits_of, text_maps

from post_processing import Detection, decode_pan, labels_to_polygons
from reference.polygons import label_polygons

SIZE = (160, 256)
NETWORK = (640, 1024)
ORIGINAL = (1080, 1728)
MIN_AREA, MIN_SCORE = 16, 0.85
TOLERANCE = 1e-3  # px: the corners of a rectangle depend on the order of the points in the last bits of a float32


def same_polygons(ours: list[Detection], reference: list[Detection]) -> str:
    assert len(ours) == len(reference)
    for a, b in zip(ours, reference):
        np.testing.assert_allclose(a.polygon, b.polygon, rtol=0, atol=TOLERANCE)
        assert abs(a.score - b.score) < 1e-12
    return f"{len(ours)} polygons equal to {TOLERANCE} pixels, scores to 1e-12"


def measure() -> list[Row]:
    rng = np.random.default_rng(0)
    masks = text_maps(rng, SIZE, 66)
    labels, score = decode_pan(np.concatenate([logits_of(rng, masks), embeddings(rng, SIZE)]))
    return [
        compare(
            f"labels_to_polygons, {bbox_type}, 160x256 to 640x1024, 66 texts",
            lambda bbox_type=bbox_type: labels_to_polygons(
                labels, score, NETWORK, ORIGINAL, min_area=MIN_AREA, min_score=MIN_SCORE, bbox_type=bbox_type
            ),
            lambda bbox_type=bbox_type: label_polygons(
                labels, score, NETWORK, ORIGINAL, MIN_AREA, MIN_SCORE, bbox_type
            ),
            same_polygons,
            reference_name="one full-size mask per label",
            seconds=3.5,
        )
        for bbox_type in ("poly", "rect")
    ]


if __name__ == "__main__":
    main(measure, __doc__)
