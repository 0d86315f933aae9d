"""Object detectors as wholes: against torchvision's own, one pass, losses, checkpoints, configs."""

import pytest
import torch
from object_networks import HEADS, SIZES, TARGETS, images_of, scene, small_rcnn
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList

from errors import InputError
from models.objects.rcnn import build_rcnn, current_names, paste_masks
from models.weights import load_matching, read_weights
from reference.roi_align import with_torchvisions_roi_align


@pytest.fixture(params=["faster", "mask"])
def pair(request):
    """One of torchvision's detectors of 91 classes, and ours with the same weights."""
    torch.manual_seed(0)
    kind = dict(faster=detection.fasterrcnn_resnet50_fpn, mask=detection.maskrcnn_resnet50_fpn)[request.param]
    theirs = kind(weights=None, weights_backbone=None, box_score_thresh=0.0, box_detections_per_img=20)
    model = dict(
        type="RCNN",
        backbone=dict(type="TorchvisionResNet", depth=50),
        neck=dict(type="FPN"),
        heads=dict(type=HEADS[request.param]["type"], score_thresh=0.0, detections=20),
        num_classes=90,
    )
    return theirs, build_rcnn(model)


def test_parameters_detections_and_losses_equal_torchvisions(pair):
    theirs, ours = pair
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours = with_torchvisions_roi_align(ours)  # on a CPU ours differs by rounding
    ours.load_state_dict(theirs.state_dict())
    images, sizes = torch.randn(2, 3, 64, 128), [(64, 128), (60, 120)]
    with torch.no_grad():
        theirs.eval(), ours.eval()
        levels = theirs.backbone(images)
        proposals, _ = theirs.rpn(ImageList(images, sizes), levels)
        expected, _ = theirs.roi_heads(levels, proposals, sizes)
        out = ours(images, sizes)
        assert all(torch.equal(a, b) for a, b in zip(out.pyramid, levels.values())) and out.losses == {}
        for found, wanted in zip(out.detections, expected):
            assert len(wanted["boxes"]) == 20 and found.keys() == wanted.keys()
            assert all(torch.equal(found[key], wanted[key]) for key in wanted)

        target = dict(boxes=torch.tensor([[8.0, 9, 90, 50]]), labels=torch.tensor([7]))
        targets = [{**target, "masks": torch.ones(1, 64, 128, dtype=torch.uint8)}] * 2
        theirs.train(), ours.train()
        torch.manual_seed(3)  # the samplers draw the same anchors and proposals
        levels = theirs.backbone(images)
        proposals, losses = theirs.rpn(ImageList(images, sizes), levels, targets)
        losses |= theirs.roi_heads(levels, proposals, sizes, targets)[1]
        torch.manual_seed(3)
        assert list(ours(images, sizes, targets).losses.values()) == list(losses.values())


def old_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names in torchvision's published COCO files, which also lack the counters of the batch norms."""
    old = {}
    for name, value in state.items():
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        for i in range(4):
            name = name.replace(f"mask_head.{i}.0.", f"mask_head.mask_fcn{i + 1}.")
            name = name.replace(f"_blocks.{i}.0.", f"_blocks.{i}.")
        old[name] = value
    return {name: value for name, value in old.items() if "num_batches_tracked" not in name}


def test_published_detection_files_load_and_another_class_count_is_listed(tmp_path):
    theirs = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    old = old_names(theirs.state_dict())
    assert {"backbone.fpn.inner_blocks.0.weight", "rpn.head.conv.weight", "roi_heads.mask_head.mask_fcn1.bias"} <= {
        *old
    }
    assert not theirs.load_state_dict(dict(old), strict=False).unexpected_keys  # torchvision knows these names
    torch.save(old, tmp_path / "coco.pth")
    model = dict(backbone=dict(type="TorchvisionResNet"), neck=dict(type="FPN"), heads=dict(type="MaskHeads"))
    ours = build_rcnn({**model, "num_classes": 80})
    left_out = load_matching(ours, current_names(read_weights(tmp_path / "coco.pth")), "coco.pth")
    predictors = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")
    for name, value in ours.state_dict().items():
        if name.startswith(predictors):
            assert name in left_out
        elif "num_batches_tracked" not in name:
            assert torch.equal(value, theirs.state_dict()[name]), name


@pytest.mark.parametrize(
    "depth, neck, heads, millions",
    [
        (50, "MultiNeckFPN", dict(type="FasterHeads"), 48.8),
        (101, "FPN", dict(type="FasterHeads"), 60.7),
        (101, "FPN", dict(type="CascadeHeads", mask=True), 91.0),
    ],
)
def test_full_size_detectors_have_the_documented_number_of_parameters(depth, neck, heads, millions):
    with torch.device("meta"):
        model = build_rcnn(
            dict(backbone=dict(type="TorchvisionResNet", depth=depth), neck=dict(type=neck), heads=heads)
        )
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == millions


@pytest.mark.parametrize("neck, branches", [("FPN", 1), ("MultiNeckFPN", 2)])
def test_output_has_the_documented_shapes(neck, branches):
    with torch.no_grad():
        out = build_rcnn(small_rcnn(neck=neck)).eval()(torch.randn(2, 3, 96, 160), [(96, 160), (70, 150)])
    shapes = [(2, 32, 24, 40), (2, 32, 12, 20), (2, 32, 6, 10), (2, 32, 3, 5), (2, 32, 2, 3)]
    assert [tuple(level.shape) for level in out.pyramid] == shapes
    assert [[tuple(level.shape) for level in branch] for branch in out.branches] == [shapes[:4]] * branches
    for detection_of_image, (height, width) in zip(out.detections, [(96, 160), (70, 150)]):
        boxes, labels, scores = (detection_of_image[key] for key in ("boxes", "labels", "scores"))
        assert len(boxes) == len(labels) > 20 and boxes.dtype == torch.float32 and (boxes >= 0).all()
        assert boxes[:, 2].max() <= width and boxes[:, 3].max() <= height
        assert set(labels.tolist()) <= {1, 2, 3} and scores.tolist() == sorted(scores.tolist(), reverse=True)


@pytest.mark.parametrize("training", [True, False])
def test_one_call_is_one_pass(training):
    model, calls = build_rcnn(small_rcnn("mask", "MultiNeckFPN")).train(training), []
    parts = [model.backbone["body"], model.backbone["fpn"], model.rpn.head, model.roi_heads.box_head]
    for part in parts:
        part.register_forward_hook(lambda module, *_: calls.append(module))
    out = model(images_of(TARGETS), SIZES, TARGETS)
    assert calls == parts
    assert (out.losses == {}) != training and (out.detections == []) == training


@pytest.mark.parametrize("heads, neck", [("faster", "MultiNeckFPN"), ("mask", "FPN"), ("cascade", "FPN")])
def test_losses_are_finite_named_and_fall(heads, neck):
    torch.manual_seed(0)
    model, images = build_rcnn(small_rcnn(heads, neck)), images_of(TARGETS)
    optimizer, totals = torch.optim.Adam(model.parameters(), lr=1e-3), []
    for _ in range(12):
        losses = model(images, SIZES, TARGETS).losses
        totals.append(sum(losses.values()))
        optimizer.zero_grad()
        totals[-1].backward()
        optimizer.step()
    stages = [""] if heads != "cascade" else ["stage1_", "stage2_", "stage3_"]
    names = ["rpn_objectness", "rpn_box", *(s + n for s in stages for n in ("classifier", "box"))]
    assert list(losses) == names + ["mask"] * (heads != "faster")
    assert torch.isfinite(torch.stack(totals)).all()
    assert sum(totals[-3:]) < 0.8 * sum(totals[:3])


@pytest.mark.parametrize("heads", ["faster", "mask", "cascade"])
@pytest.mark.parametrize("targets", [[scene([], [])] * 2, [scene([], []), TARGETS[1]]], ids=["none", "one of two"])
def test_images_without_boxes_give_finite_losses_and_a_gradient_everywhere(heads, targets):
    model = build_rcnn(small_rcnn(heads))
    losses = model(images_of(targets), SIZES, targets).losses
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("heads", ["mask", "cascade"])
def test_masks_are_probabilities_of_the_detections_and_can_be_left_out(heads):
    model = build_rcnn(small_rcnn(heads, detections=5)).eval()
    boxes_only = build_rcnn(small_rcnn(heads, detections=5, predict_masks=False)).eval()
    boxes_only.load_state_dict(model.state_dict())
    with torch.no_grad():
        found = model(images_of(TARGETS), SIZES).detections
        for image, bare in zip(found, boxes_only(images_of(TARGETS), SIZES).detections):
            assert image["masks"].shape == (5, 1, 28, 28)
            assert image["masks"].min() >= 0 and image["masks"].max() <= 1
            assert bare.keys() == {"boxes", "labels", "scores"} and torch.equal(bare["boxes"], image["boxes"])
    nothing = build_rcnn(small_rcnn(heads, score_thresh=1.0)).eval()(images_of(TARGETS), SIZES).detections
    assert all(image["masks"].shape == (0, 1, 28, 28) for image in nothing)


def test_pasted_masks_lie_in_their_boxes():
    pasted = paste_masks(torch.ones(2, 1, 28, 28), torch.tensor([[10.0, 5, 38, 33], [0, 0, 56, 28]]), (40, 60))
    assert pasted.shape == (2, 40, 60)
    assert (pasted[0, 6:32, 11:37] > 0.999).all() and pasted[0].sum() < 30 * 30  # one pixel of soft border
    assert (pasted[1, 2:26, 3:53] > 0.999).all()
    assert paste_masks(torch.ones(0, 1, 28, 28), torch.zeros(0, 4), (40, 60)).shape == (0, 40, 60)


def test_another_backbone_takes_its_place():
    model = {**small_rcnn(), "backbone": dict(type="ResNet", depth=18, width=16)}
    assert len(build_rcnn(model).eval()(images_of(TARGETS), SIZES).detections) == 2


def test_wrong_calls_are_refused():
    model = build_rcnn(small_rcnn())
    with pytest.raises(ValueError, match="multiples of 32"):
        model.eval()(torch.zeros(1, 3, 64, 72), [(64, 72)])
    with pytest.raises(ValueError, match="needs targets"):
        model.train()(torch.zeros(1, 3, 64, 64), [(64, 64)])


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(backbone=None), r"model\.backbone=None: expected a dict whose 'type'"),
        (dict(backbone=dict(type="TorchvisionResNet", depth=34)), r"backbone\.depth=34: expected one of 18, 50, 101"),
        (dict(backbone=dict(type="TorchvisionResNet", frozen_stages=5)), r"backbone\.frozen_stages=5"),
        (dict(backbone=dict(type="TorchvisionResNet", width=16)), r"model\.backbone\.width: unknown, Torch"),
        (dict(neck=dict(type="FPM")), r"model\.neck=.*FPM.*MultiNeckFPN"),
        (dict(neck=dict(type="FPEMNeck")), r"model\.neck: FPEMNeck gives 4 levels"),
        (dict(neck=dict(type="FPN", in_channels=(1, 2, 3, 4))), r"model\.neck\.in_channels: unknown"),
        (dict(rpn=dict(type="RPN", sizes=(32, 64))), r"rpn\.sizes=\(32, 64\).*five"),
        (dict(rpn=dict(type="RPN", nms=0.5)), r"model\.rpn\.nms: unknown, RPN has nms_thresh"),
        (dict(heads=dict(type="PANHead")), r"model\.heads\.type='PANHead': is no heads"),
        (dict(heads=dict(type="FasterHeads", mask=True)), r"model\.heads\.mask: unknown"),
        (dict(num_classes=0), r"model\.num_classes=0"),
        (dict(adapter=None), r"model\.adapter: unknown"),
    ],
)
def test_mistakes_in_a_config_are_named(change, message):
    with pytest.raises(InputError, match=message):
        build_rcnn({**small_rcnn(), **change})
