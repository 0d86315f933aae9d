"""The masks of detection distillation against per-cell references, and cases computed by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillation.masks import background_mask, centre_mask, foreground_mask, proposal_mask
from reference import fgd as reference
from reference.multineck import level_masks

SIZE, STRIDE = (6, 8), 4  # a map of 32 x 24 pixels

# Whole cells, borders of the map, points inside and far outside.
coordinate = st.one_of(
    st.sampled_from([-40.0, -4.0, 0.0, 4.0, 8.0, 20.0, 24.0, 28.0, 32.0, 60.0]),
    st.integers(-200, 500).map(lambda v: v / 10),
)


@st.composite
def box(draw) -> tuple[float, ...]:
    """x1, y1, x2, y2 in order; also of zero size, outside, and touching borders."""
    xs, ys = (sorted(float(np.float32(draw(coordinate))) for _ in range(2)) for _ in range(2))
    return xs[0], ys[0], xs[1], ys[1]


image = st.lists(st.tuples(box(), st.floats(0, 1, width=32)), max_size=5)


def split(images: list) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    boxes = [torch.tensor([b for b, _ in one], dtype=torch.float32).reshape(-1, 4) for one in images]
    return boxes, [torch.tensor([v for _, v in one], dtype=torch.float32) for one in images]


@settings(max_examples=150, deadline=None)
@given(st.lists(image, min_size=1, max_size=3))
def test_masks_equal_their_references(images):
    boxes, values = split(images)
    found = foreground_mask(boxes, SIZE, STRIDE)
    outside = background_mask(found)
    weights = centre_mask(boxes, [1 + 10 * v for v in values], SIZE, STRIDE)
    stacked = proposal_mask(boxes, values, SIZE, STRIDE)
    for mask in (found, outside, weights, stacked):
        assert mask.shape == (len(images), *SIZE) and mask.dtype == torch.float32
    for b, (own, value) in enumerate(zip(boxes, values)):
        own, value = own.tolist(), value.numpy()
        np.testing.assert_allclose(found[b], reference.foreground(own, SIZE, STRIDE), rtol=1e-6)
        np.testing.assert_allclose(outside[b], reference.background(own, SIZE, STRIDE), rtol=1e-6)
        np.testing.assert_allclose(
            weights[b], reference.centre(own, 1 + 10 * value.astype(float), SIZE, STRIDE), rtol=1e-6
        )
        np.testing.assert_allclose(stacked[b], reference.proposals(own, value, SIZE, STRIDE), rtol=1e-6)


def test_masks_of_two_overlapping_boxes_by_hand():
    # Stride 8. Box a, 0..8: cells 0 and 1 of each axis, 4 cells. Box b, 9..23: cells 1 to 3 in x; 0..4: 0 and 1 in y.
    boxes = [torch.tensor([[0.0, 0, 8, 8], [9, 0, 23, 4]])]
    found = foreground_mask(boxes, (3, 5), 8)
    rest = 1 / (15 - 8)
    assert torch.equal(
        found, torch.tensor([[[1 / 4, 1 / 4, 1 / 6, 1 / 6, 0], [1 / 4, 1 / 4, 1 / 6, 1 / 6, 0], [0, 0, 0, 0, 0]]])
    )
    assert torch.equal(background_mask(found), torch.tensor([[[0, 0, 0, 0, rest], [0, 0, 0, 0, rest], [rest] * 5]]))
    assert centre_mask(boxes, [torch.tensor([3.0, 7.0])], (3, 5), 8)[0, 0].tolist() == [3, 7, 7, 7, 1]
    assert proposal_mask(boxes, [torch.tensor([0.5, 0.25])], (3, 5), 8)[0, 0].tolist() == [5, 5.5, 4.5, 4.5, 4]
    assert proposal_mask(boxes, [torch.tensor([0.2, 0.19])], (3, 5), 8).unique().tolist() == [4]


def test_a_box_over_everything_leaves_no_background():
    found = foreground_mask([torch.tensor([[0.0, 0, 64, 64]])], (4, 4), 16)
    assert background_mask(found).abs().sum() == 0
    # Cells 0 to 4 of each axis, though the map ends with cell 3.
    assert torch.equal(found, torch.full((1, 4, 4), 1 / 25))


@pytest.mark.parametrize("number", [1, 400])
def test_stacked_proposals_stay_exact(number):
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 60, (number, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 40, (number, 2))], 1).astype(np.float32)
    scores = rng.random(number).astype(np.float32)
    found = proposal_mask([torch.from_numpy(boxes)], [torch.from_numpy(scores)], (12, 12), 8)
    np.testing.assert_allclose(found[0], reference.proposals(boxes, scores, (12, 12), 8), rtol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(proposal_mask([torch.from_numpy(boxes)], [torch.from_numpy(scores)], (12, 12), 8), found)


def test_masks_of_many_boxes_equal_those_filled_box_by_box():
    """More than are laid over a strip of rows at once."""
    rng, size, stride = np.random.default_rng(0), (40, 300), 8
    corner = rng.uniform((-20, -20), (2300, 300), (2000, 2))
    boxes = torch.from_numpy(np.concatenate([corner, corner + rng.exponential(80, (2000, 2))], 1)).float()
    values, scores = (torch.from_numpy(rng.random(2000).astype(np.float32)) for _ in range(2))
    targets, found = [{"boxes": boxes}], [{"boxes": boxes[:300], "scores": scores[:300]}]
    expected = level_masks((1, 1, *size), stride, targets, [(1 + values).tolist()], found)
    foreground = foreground_mask([boxes], size, stride)
    torch.testing.assert_close(foreground, expected["foreground"])
    torch.testing.assert_close(background_mask(foreground), expected["background"])
    stacked = proposal_mask([boxes[:300]], [scores[:300]], size, stride)
    objects = centre_mask([boxes], [1 + values], size, stride) * stacked
    torch.testing.assert_close(objects / objects.mean(), expected["object"])
