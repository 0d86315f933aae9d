"""Parts of the object detectors: necks, proposals, cascade."""

import math

import pytest
import torch
import torch.nn.functional as F
from object_networks import SIZES, TARGETS, images_of, small_rcnn
from torchvision.models.detection.image_list import ImageList

from engine.training.checkpoint import new_detector
from errors import InputError
from models import stream
from models.objects.cascade import STAGE_BOX_WEIGHTS, CascadeHeads, refine
from models.objects.fpn import LEVELS, STRIDES, MultiNeckFPN
from models.objects.rcnn import build_rcnn
from models.objects.roi_align import PyramidRoIAlign
from models.objects.rpn import RPN, PyramidAnchors
from reference.roi_align import TorchvisionRoIAlign


def test_multineck_equals_its_definition():
    torch.manual_seed(0)
    neck, stages = (
        MultiNeckFPN((4, 6, 8, 10), 5),
        [torch.randn(2, c, 32 >> i, 48 >> i) for i, c in enumerate((4, 6, 8, 10))],
    )
    w, path = neck.state_dict(), {}

    def conv(x, name, padding):
        return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=padding)

    for i in (3, 2, 1, 0):
        path[i] = conv(stages[i], f"inner_blocks.{i}.0", 0)
        if i < 3:
            path[i] = path[i] + path[i + 1].repeat_interleave(2, 2).repeat_interleave(2, 3)
    pyramid, branches = neck(stages)
    for i in range(4):
        one, two = (conv(path[i], f"branches.{branch}.{i}", 1) for branch in (0, 1))
        torch.testing.assert_close((branches[0][i], branches[1][i]), (one, two))
        torch.testing.assert_close(pyramid[LEVELS[i]], conv(torch.cat([one, two], 1), f"merge.{i}", 1))
    assert torch.equal(pyramid["pool"], pyramid["3"][:, :, ::2, ::2])
    assert len(w) == 4 * 2 * (1 + 2 + 1)  # per level a lateral, two branches, a merge: weight and bias


def test_anchors_stand_at_the_true_strides():
    anchors = PyramidAnchors(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5)
    levels = [torch.zeros(1, 1, math.ceil(800 / s), math.ceil(1344 / s), dtype=torch.bfloat16) for s in STRIDES]
    (found,) = anchors(ImageList(torch.zeros(1, 3, 800, 1344), [(800, 1333)]), levels)
    centres = ((found[:, :2] + found[:, 2:]) / 2)[::3].tolist()
    expected = [
        [x * stride, y * stride]
        for stride, level in zip(STRIDES, levels)
        for y in range(level.shape[2])
        for x in range(level.shape[3])
    ]
    assert centres == expected


def test_an_image_proposes_the_same_alone_and_beside_a_larger_neighbour():
    torch.manual_seed(0)
    rpn = RPN(8, sizes=(16, 24, 32, 48, 64), pre_nms_test=30, post_nms_test=20).eval()
    with torch.no_grad():
        weight = rpn.head.conv[0][0].weight  # without neighbours no cell sees the border
        weight.zero_()
        weight[:, :, 1, 1] = torch.randn(8, 8)
        for conv in (rpn.head.cls_logits, rpn.head.bbox_pred):
            conv.weight.normal_(std=0.3)
    own, padded = (70, 110), (192, 256)  # alone the image is padded to 96x128
    large = {n: 3 * torch.randn(1, 8, math.ceil(192 / s), math.ceil(256 / s)) for n, s in zip(LEVELS, STRIDES)}
    alone = {n: large[n][:, :, : math.ceil(96 / s), : math.ceil(128 / s)] for n, s in zip(LEVELS, STRIDES)}
    (first,), _ = rpn(ImageList(torch.zeros(1, 3, 96, 128), [own]), alone)
    batch = {name: torch.cat([level, level.flip(3)]) for name, level in large.items()}
    (second, neighbour), _ = rpn(ImageList(torch.zeros(2, 3, *padded), [own, padded]), batch)
    assert len(first) == 20 and torch.equal(first, second)
    assert first[:, 2].max() <= 110 and first[:, 3].max() <= 70 and neighbour[:, 2].max() > 128


@pytest.mark.parametrize("stalls", [False, True])  # as on a CPU, and as on a GPU
def test_rois_of_a_small_image_are_pooled_at_the_true_stride(stalls, monkeypatch):
    monkeypatch.setattr(stream, "stalls", lambda tensor: stalls)
    features = {name: torch.arange(64.0).expand(1, 1, 64, 64) for name in LEVELS[:4]}  # the value is the column
    pooled = PyramidRoIAlign(7)(features, [torch.tensor([[0.0, 0, 56, 56]])], [(65, 65)])
    torch.testing.assert_close(pooled[0, 0, 0], 2 * torch.arange(7.0) + 1)  # P2: bins of 2 cells


ROIS = [
    [[10.0, 20, 50, 45], [-6, -3, 30, 30], [100, 60, 140, 101], [0, 0, 128, 96], [33, 33, 33, 33]],
    [[127.9, 0, 128, 96], [-40, -40, -20, -20], [131.9, 7, 140, 9], [8, 90, 9, 105], [-200, -200, 300, 300]],
]  # on borders, one cell beyond and more, without extent, of every level


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("side", [7, 14])
def test_rois_and_their_gradients_equal_torchvisions(side, layout):
    torch.manual_seed(0)
    corners = torch.rand(2, 50, 2) * torch.tensor([140.0, 110]) - 10
    drawn = torch.cat([corners, corners + 300 * torch.rand(2, 50, 2) ** 4], 2)
    boxes = list(torch.cat([torch.tensor(ROIS), drawn], 1))
    maps = [torch.randn(2, 5, 96 // s, 128 // s).to(memory_format=layout) for s in STRIDES[:4]]
    features = dict(zip(LEVELS, (level.requires_grad_() for level in maps)))
    align = PyramidRoIAlign(side)
    assert set(align.map_levels(boxes).tolist()) == {0, 1, 2, 3}
    pooled, expected = (pool(features, boxes, [(96, 128)] * 2) for pool in (align, TorchvisionRoIAlign(side)))
    torch.testing.assert_close(pooled, expected)
    assert pooled.is_contiguous()
    weights = torch.randn_like(pooled)
    for own, other in zip(*(torch.autograd.grad((p * weights).sum(), maps) for p in (pooled, expected))):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-4)


def test_no_rois_pool_to_nothing():
    features = {name: torch.ones(2, 3, 4, 4, dtype=torch.bfloat16) for name in LEVELS}
    pooled = PyramidRoIAlign(7)(features, [torch.zeros(0, 4)] * 2, [(16, 16)] * 2)
    assert pooled.shape == (0, 3, 7, 7) and pooled.dtype == torch.bfloat16


def test_rois_that_are_not_finite_pool_nothing():
    """So that training that has gone wrong ends with the message about its loss."""
    features = dict(zip(LEVELS, (torch.ones(1, 2, 32 // s, 32 // s) for s in STRIDES[:4])))
    boxes = torch.tensor([[math.nan] * 4, [0, 0, math.inf, 9], [-math.inf, 0, 9, 9], [1e9, 1e9, 2e9, 2e9]])
    assert PyramidRoIAlign(7)(features, [boxes], [(32, 32)]).eq(0).all()


@pytest.mark.parametrize("heads", ["faster", "cascade"])
def test_boxes_are_float32_under_bfloat16_autocast(heads):
    model = build_rcnn(small_rcnn(heads))
    with torch.autocast("cpu", torch.bfloat16):
        proposals = []
        model.rpn.register_forward_hook(lambda _, __, out: proposals.extend(out[0]))
        losses = model(images_of(TARGETS), SIZES, TARGETS).losses
        found = model.eval()(images_of(TARGETS), SIZES)
    assert found.pyramid[0].dtype == torch.bfloat16
    assert {p.dtype for p in proposals} == {loss.dtype for loss in losses.values()} == {torch.float32}
    assert {value.dtype for d in found.detections for value in d.values()} == {torch.float32, torch.int64}


def iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / area


def random_boxes(count: int) -> torch.Tensor:
    corners = torch.rand(count, 2) * torch.tensor([60.0, 40.0])
    return torch.cat([corners, corners + 5 + 20 * torch.rand(count, 2)], 1)


def test_each_stage_assigns_what_brute_force_says():
    torch.manual_seed(0)
    heads, truth, labels = CascadeHeads(4, 3, representation=8), random_boxes(6), torch.tensor([1, 2, 3, 1, 2, 3])
    boxes = truth.repeat(60, 1) + 2 * torch.randn(360, 4)
    positives = []
    for stage, threshold in zip(heads.stages, (0.5, 0.6, 0.7)):
        (matches,), (found,) = stage.assign_targets_to_proposals([boxes], [truth], [labels])
        for box, match, label in zip(boxes.tolist(), matches.tolist(), found.tolist()):
            overlaps = [iou(box, t) for t in truth.tolist()]
            best = max(range(6), key=overlaps.__getitem__)
            assert label == (labels[best] if overlaps[best] >= threshold else 0)
            assert not label or match == best
        positives.append(int((found > 0).sum()))
    assert positives[0] > positives[1] > positives[2] > 0


def test_refining_decodes_what_a_stage_encodes_and_clips_to_each_image():
    torch.manual_seed(0)
    heads, sizes = CascadeHeads(4, 3, representation=8), [(100, 100), (45, 50)]
    boxes, truth = [random_boxes(7), random_boxes(5)], [random_boxes(7), random_boxes(5)]
    clipped = [t.clamp(max=torch.tensor([w, h, w, h])) for t, (h, w) in zip(truth, sizes)]
    assert not torch.equal(clipped[1], truth[1])
    for stage, weights in zip(heads.stages, STAGE_BOX_WEIGHTS):
        deltas = torch.cat(stage.box_coder.encode(truth, boxes))
        centre = (boxes[0][0, :2] + boxes[0][0, 2:]) / 2
        shift = (truth[0][0, :2] + truth[0][0, 2:]) / 2 - centre
        torch.testing.assert_close(deltas[0, :2], weights[0] * shift / (boxes[0][0, 2:] - boxes[0][0, :2]))
        found = refine(stage, boxes, deltas.repeat(1, 4).requires_grad_(), sizes)
        torch.testing.assert_close(found, clipped, atol=1e-4, rtol=1e-4)
        assert not any(f.requires_grad for f in found)


def test_cascade_trains_each_stage_on_the_boxes_of_the_one_before():
    torch.manual_seed(0)
    heads, size = CascadeHeads(4, 3, representation=16), (100, 120)
    features = {name: torch.randn(1, 4, 32 >> i, 32 >> i) for i, name in enumerate(LEVELS[:4])}
    truth, classes = random_boxes(2), [3, 1]
    boxes = truth.repeat(10, 1) + 4 * torch.randn(20, 4)  # so few that every one is sampled
    with torch.no_grad():
        targets = [dict(boxes=truth, labels=torch.tensor(classes))]
        _, losses = heads(features, [boxes], [size], targets)
        for i, (stage, threshold, share) in enumerate(zip(heads.stages, (0.5, 0.6, 0.7), (1, 0.5, 0.25)), start=1):
            boxes = torch.cat([boxes, truth])
            logits, deltas = stage.predict(features, [boxes], [size])
            classifier, box = 0.0, 0.0
            for candidate, logit, delta in zip(boxes, logits, deltas[:, :4]):
                overlap, best = max((iou(candidate.tolist(), t.tolist()), j) for j, t in enumerate(truth))
                label = classes[best] if overlap >= threshold else 0
                classifier -= float(logit.log_softmax(0)[label])
                if label:
                    wanted = stage.box_coder.encode_single(truth[best : best + 1], candidate[None])[0]
                    errors = (delta - wanted).abs()
                    box += float(torch.where(errors < 1 / 9, 4.5 * errors**2, errors - 1 / 18).sum())
            assert float(losses[f"stage{i}_classifier"]) == pytest.approx(share * classifier / len(boxes), rel=1e-4)
            assert float(losses[f"stage{i}_box"]) == pytest.approx(share * box / len(boxes), rel=1e-4) and box > 0
            (boxes,) = refine(stage, [boxes], deltas, [size])
    assert len(losses) == 6


def test_cascade_averages_the_scores_of_its_stages():
    torch.manual_seed(0)
    heads = CascadeHeads(4, 3, representation=16, score_thresh=0.0, nms_thresh=1.0, detections=1000).eval()
    with torch.no_grad():
        for stage in heads.stages:
            stage.box_predictor.cls_score.weight.normal_()
            stage.box_predictor.bbox_pred.weight.normal_()
    features = {name: torch.randn(1, 4, 32 >> i, 32 >> i) for i, name in enumerate(LEVELS[:4])}
    proposals, size = random_boxes(9), (100, 120)
    with torch.no_grad():
        (found,), losses = heads(features, [proposals], [size])
        boxes, mean = proposals, torch.zeros(9, 4)
        for stage, (wx, _, ww, _) in zip(heads.stages, STAGE_BOX_WEIGHTS):
            pooled = stage.box_roi_pool(features, [boxes], [size]).flatten(1)
            hidden = stage.box_head.fc7(stage.box_head.fc6(pooled).relu()).relu()
            likelihoods = stage.box_predictor.cls_score(hidden).exp()
            mean += likelihoods / likelihoods.sum(1, keepdim=True) / 3
            refined = []
            for (x1, y1, x2, y2), (dx, dy, dw, dh) in zip(
                boxes.tolist(), stage.box_predictor.bbox_pred(hidden).tolist()
            ):
                w, h = x2 - x1, y2 - y1
                x, y = (x1 + x2) / 2 + w * dx / wx, (y1 + y2) / 2 + h * dy / wx
                w, h = w * math.exp(dw / ww), h * math.exp(dh / ww)
                refined.append([
                    min(max(v, 0), limit)
                    for v, limit in zip((x - w / 2, y - h / 2, x + w / 2, y + h / 2), (120, 100, 120, 100))
                ])  # fmt: skip
            boxes = torch.tensor(refined)
    assert losses == {} and len(found["boxes"]) == 9 * 3
    expected = sorted(((float(mean[i, c]), c, boxes[i].tolist()) for i in range(9) for c in (1, 2, 3)), reverse=True)
    torch.testing.assert_close(found["scores"], torch.tensor([e[0] for e in expected]), atol=1e-5, rtol=1e-5)
    assert found["labels"].tolist() == [e[1] for e in expected]
    torch.testing.assert_close(found["boxes"], torch.tensor([e[2] for e in expected]), atol=1e-3, rtol=1e-4)


def test_cascade_regresses_one_box_for_all_classes():
    for stage in CascadeHeads(4, 3, representation=8).stages:
        logits, deltas = stage.box_predictor(torch.randn(2, 8))
        assert logits.shape == (2, 4) and stage.box_predictor.bbox_pred.out_features == 4
        assert torch.equal(deltas.reshape(2, 4, 4), deltas[:, None, :4].expand(2, 4, 4))


@pytest.mark.parametrize(
    ("part", "option", "value"),
    [
        *[
            ("rpn", f"{when}_nms_{split}", value)
            for when in ("pre", "post")
            for split in ("train", "test")
            for value in (0, -1)
        ],
        *[("heads", option, value) for option in ("samples", "detections", "representation") for value in (0, -5)],
        *[("heads", option, value) for option in ("score_thresh", "nms_thresh") for value in (-0.1, 2.0)],
        ("rpn", "nms_thresh", 1.5),
    ],
)
def test_numbers_that_make_no_detector_are_refused_by_name(part, option, value):
    model = small_rcnn()
    model[part] = {**model[part], option: value}
    with pytest.raises(InputError, match=rf"model\.{part}\.{option}={value}: expected "):
        new_detector(model)
