"""The object masks of multi-neck distillation: their mean, their switches, and the weights of boxes by centres."""

import logging

import numpy as np
import pytest
import torch
from multineck_learners import build, detections, random_centers
from small_detectors import random_batch

from distillation.multineck.learner import MultiNeckDistiller
from distillation.multineck.roi_features import roi_descriptors
from reference import fgd as reference


def object_masks(learner: MultiNeckDistiller, batch) -> list[torch.Tensor]:
    """Of the first teacher."""
    taught = learner.teachers[0](batch.images, batch.sizes)
    return learner.object_masks(0, taught.branches[0], taught.detections, batch.targets)


def test_object_masks_have_a_mean_of_one_whatever_the_number_of_proposals():
    batch = random_batch()
    for copies in (1, 20):
        learner = build()
        for teacher in learner.teachers:
            teacher.detections = [
                {k: v.repeat(copies, *[1] * (v.ndim - 1)) for k, v in d.items()} for d in detections(0)
            ]
        for mask in object_masks(learner, batch):
            assert mask.mean((1, 2)).tolist() == pytest.approx([1, 1])


def test_switches_of_the_object_mask():
    batch = random_batch()
    size, boxes = (16, 24), [target["boxes"].tolist() for target in batch.targets]
    centred, stacked, plain = (
        build(use_centres=centres, use_proposals=proposals, **({} if centres else {"centers": ()}))
        for centres, proposals in ((True, False), (False, True), (False, False))
    )
    taught = plain.teachers[0](batch.images, batch.sizes)
    assert torch.equal(object_masks(plain, batch)[0], torch.ones(2, *size))
    found = [
        reference.proposals(d["boxes"].tolist(), d["scores"].numpy(), size, 4) for d in plain.teachers[0].detections
    ]
    expected = np.stack([mask / mask.mean() for mask in found])
    np.testing.assert_allclose(object_masks(stacked, batch)[0], expected, rtol=1e-5)
    values = centred.centre_values(0, taught.branches[0], batch.targets)
    found = [reference.centre(own, value.tolist(), size, 4) for own, value in zip(boxes, values)]
    expected = np.stack([mask / mask.mean() for mask in found])
    np.testing.assert_allclose(object_masks(centred, batch)[0], expected, rtol=1e-5)


def test_boxes_near_their_centre_weigh_more_and_a_box_on_it_stays_finite():
    batch = random_batch([[[3, 5, 40, 60, 1], [50, 10, 96, 50, 2]]])
    learner = build(centers=(random_centers(0), random_centers(1)))
    taught = learner.teachers[0](batch.images, batch.sizes)
    own = roi_descriptors(taught.branches[0], [batch.targets[0]["boxes"]]).detach()
    learner.centers0[1, :, :], learner.centers0[2, :, :] = own[0], own[1] + 0.05
    assert learner.centre_values(0, taught.branches[0], batch.targets)[0].tolist() == pytest.approx(
        [1e4, 400], rel=1e-3
    )
    assert all(torch.isfinite(value) for value in learner.train()(batch).losses.values())


def test_a_class_without_centre_weighs_one_and_is_named_once(caplog):
    with caplog.at_level(logging.WARNING):
        learner = build(centers=[random_centers(0, labels=(1, 3)), random_centers(1)])
        for _ in range(2):
            learner(random_batch())
    assert [record.getMessage() for record in caplog.records] == ["teacher 1: no centre of dog; such boxes weigh 1"]
    batch = random_batch()
    taught = learner.teachers[0](batch.images, batch.sizes)
    assert learner.centre_values(0, taught.branches[0], batch.targets)[0][1] == 1
