"""Inputs of the benchmarks hold what their tables say."""

import cv2
import numpy as np
import pytest

from benchmarks.maps import cells, embeddings, logits_of, text_maps
from post_processing import decode_pan, labels_to_polygons


@pytest.mark.parametrize(("size", "instances"), [((64, 64), 1), ((160, 256), 66), ((160, 256), 80), ((512, 512), 500)])
def test_maps_hold_as_many_instances_as_asked_for(size, instances):
    rng = np.random.default_rng(0)
    assert instances <= cells(size)
    kernels = text_maps(rng, size, instances, kernels=6)
    assert kernels.shape == (7, *size) and (kernels[1:] <= kernels[:-1]).all()
    count, _ = cv2.connectedComponents(kernels[-1], connectivity=4)
    assert count - 1 == instances
    labels, score = decode_pan(np.concatenate([logits_of(rng, kernels[[0, -1]]), embeddings(rng, size)]))
    assert (labels[kernels[0] > 0] > 0).all()
    network = (4 * size[0], 4 * size[1])
    assert len(labels_to_polygons(labels, score, network, network)) == instances
