"""What comes out of a network and of the scoring: numbers, or one line that says what is wrong."""

import pytest
import torch
from conftest import run_script
from object_networks import BOXES

from engine.experiment import load_experiment
from engine.inference.evaluator import Evaluator
from engine.training.checkpoint import new_detector, save_checkpoint
from errors import InputError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(configs, tmp_path_factory):
    """Of an untrained student that takes everything for text, with a probability of 0.9526."""
    path = tmp_path_factory.mktemp("untrained") / "checkpoint_last.pth.tar"
    cfg = load_experiment(configs["student"])
    torch.manual_seed(0)
    state = new_detector(cfg.model).state_dict()
    state["head.conv2.weight"].zero_()
    state["head.conv2.bias"][:2] = 3
    save_checkpoint(path, state, cfg.config, 1, {})
    return path


def test_nothing_detected_is_said_with_the_highest_score(configs, checkpoint, tmp_path):
    command = ["test.py", configs["student"], checkpoint, "--device", "cpu", "--work-dir", tmp_path, "--cfg-options"]
    output = run_script(*command, "test_cfg.min_score=1.0", "test_cfg.min_area=0")
    [line] = [line for line in output.splitlines() if line.startswith("0 detections")]
    assert line == "0 detections of at least 1, highest 0.9526 (test_cfg.min_score, min_area)"
    assert "0 detections" not in run_script(*command, "test_cfg.min_score=0", "test_cfg.min_area=0")


class Diverged(torch.nn.Module):
    """Gives maps in which one value of the second image is no number."""

    task = "text"

    def __init__(self, detector: torch.nn.Module, value: float) -> None:
        super().__init__()
        self.detector, self.value, self.head, self.images = detector, value, detector.head, 0

    def forward(self, images):
        output = self.detector(images)
        self.images += len(images)
        if self.images >= 2:
            output.logits[-1, 0, 0, 0] = self.value
        return output


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_maps_that_are_not_finite_name_the_image(configs, value):
    cfg = load_experiment(configs["student"])
    task, settings = cfg.task, cfg.test_cfg
    dataset = task.test_set(cfg.data.test, settings)
    detector = Diverged(new_detector(cfg.model).eval(), value)
    with pytest.raises(InputError, match=rf"image {dataset.parser[1].name}: the logits .* not finite; try another"):
        Evaluator(detector, settings, CPU).predict(dataset)
    with pytest.raises(InputError, match=r"not finite; try --precision 32"):
        Evaluator(Diverged(detector.detector, value), settings, CPU, "bf16").predict(dataset)


def test_what_was_detected_is_kept_when_the_scoring_fails(configs, ctw_root, checkpoint, tmp_path, monkeypatch):
    import eval

    def fails(*_, **__):
        raise InputError("gt.txt: is damaged")

    monkeypatch.setattr(eval, "evaluate", fails)
    output = run_script("test.py", configs["student"], checkpoint, "--device", "cpu", "--work-dir", tmp_path, code=2)
    folder = tmp_path / "submit_ctw"
    assert f"error: gt.txt: is damaged; what was detected is kept in {folder}" in output
    assert len(list(folder.glob("*.txt"))) == 3


@pytest.fixture(scope="module")
def masks():
    """A detector of objects that finds some, with masks, in an image."""
    torch.manual_seed(0)
    detector = new_detector({**BOXES, "heads": {"type": "MaskHeads", "representation": 16, "score_thresh": 0.0}}).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        [found] = detector(image, [(64, 64)]).detections
    assert len(found["masks"])
    return detector, image


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("backbone.fpn.layer_blocks.0.0.weight", "features"),
        ("rpn.head.cls_logits.weight", "proposals"),
        ("rpn.head.bbox_pred.weight", "proposals"),
        ("roi_heads.box_head.fc6.weight", "classes and boxes"),
        ("roi_heads.box_predictor.cls_score.weight", "classes and boxes"),
        ("roi_heads.box_predictor.bbox_pred.weight", "classes and boxes"),
        ("roi_heads.mask_predictor.mask_fcn_logits.weight", "masks"),
    ],
)
def test_parts_of_an_object_detector_that_compute_no_finite_numbers(masks, part, what):
    """Weights that are finite, but so large that their products are not: all would look like nothing found."""
    detector, image = masks
    weight = detector.get_parameter(part)
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.copy_(weight.sign() * 3e38)
            with pytest.raises(InputError, match=rf"the {what} .* not finite; try --precision 32"):
                detector(image, [(64, 64)])
    finally:
        with torch.no_grad():
            weight.copy_(before)
