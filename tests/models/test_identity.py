"""Whether a checkpoint is of the network that a config describes: by meaning, not by shapes."""

import logging

import pytest
import torch
from object_networks import BOXES
from stage_configs import SHAPES, write_configs

from engine.experiment import load_experiment
from engine.training.checkpoint import load_detector, new_detector, save_checkpoint
from errors import InputError
from models.identity import model_differences
from models.weights import load_matching, load_strict, read_checkpoint, read_weights, state_dict_of

TEXT = dict(
    type="TextDetector",
    backbone=dict(type="ResNet", depth=18, width=16),
    neck=dict(type="FPEMNeck", channels=16, version=2),
    head=dict(type="PANHead", in_channels=64, hidden=16),
)


def changed(model: dict, key: str, value) -> dict:
    """A copy with one key, such as 'neck.version', set; '...' takes it away."""
    first, _, rest = key.partition(".")
    new = dict(model)
    if rest:
        new[first] = changed(new.get(first, {}), rest, value)
    elif value is ...:
        del new[first]
    else:
        new[first] = value
    return new


@pytest.mark.parametrize(
    "model, key, value",
    [
        (TEXT, "backbone.pretrained", "somewhere.pth"),
        (TEXT, "recompute", True),
        (TEXT, "transformer", None),
        (TEXT, "neck.shared", False),
        (TEXT, "head.in_channels", ...),
        (TEXT, "backbone.width", 16.0),
        (BOXES, "rpn", ...),
        ({**BOXES, "neck": {"type": "MultiNeckFPN"}}, "neck.type", "TwinFPN"),
        (BOXES, "rpn.post_nms_train", 10),
        (BOXES, "heads.box_weights", [10, 10, 5, 5]),
        (BOXES, "heads.samples", 64),
        (BOXES, "backbone.frozen_stages", 2),
    ],
)
def test_the_same_network_written_differently(model, key, value):
    assert model_differences(model, changed(model, key, value)) == []


@pytest.mark.parametrize(
    "model, key, value, before",
    [
        (TEXT, "neck.version", 1, 2),
        (TEXT, "neck.shared", True, False),
        (TEXT, "transformer", dict(type="VisualTransformer", channels=16), None),
        (TEXT, "head", dict(type="PSENetHead", hidden=16, kernel_num=6), "PANHead"),
        (BOXES, "rpn.ratios", (2.0, 1.0, 0.5), [0.5, 1.0, 2.0]),
        (BOXES, "rpn.sizes", (16, 24, 32, 48, 64), [32, 64, 128, 256, 512]),
        (BOXES, "heads.box_weights", (20, 20, 10, 10), [10, 10, 5, 5]),
    ],
)
def test_another_network_of_perhaps_the_same_shapes(model, key, value, before):
    [difference] = model_differences(model, changed(model, key, value))
    assert (difference.key, difference.first, difference.adjustable) == (f"model.{key}", before, False)


def test_timm_names_without_the_origin_of_their_weights():
    first, second = (changed(BOXES, "backbone", dict(type="TimmBackbone", name=n)) for n in ("a.one_in1k", "a.two"))
    assert model_differences(first, second) == []
    assert model_differences(first, changed(first, "backbone.name", "b.one_in1k"))[0].key == "model.backbone.name"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint of TEXT, with its config."""
    path = tmp_path_factory.mktemp("saved") / "checkpoint_last.pth.tar"
    torch.manual_seed(0)
    save_checkpoint(path, new_detector(TEXT).state_dict(), {"model": TEXT}, 3, {})
    return path


def test_a_checkpoint_loads_under_its_own_model_only(saved):
    spelt_out = changed(changed(TEXT, "neck.shared", False), "backbone.pretrained", "absent.pth")
    detector, about = load_detector(spelt_out, saved)
    assert about["epoch"] == 3
    torch.testing.assert_close(dict(detector.state_dict()), read_weights(saved))
    other = changed(TEXT, "neck.version", 1)
    load_strict(new_detector(other), read_weights(saved), saved)  # by shapes it would pass
    with pytest.raises(InputError, match=r"last.pth.tar: was trained with model.neck.version=2, the config has 1"):
        load_detector(other, saved)


@pytest.mark.parametrize("config", [None, "text", {}, {"model": {}}, {"model": "pan"}])
def test_a_checkpoint_without_a_config_of_this_project_is_taken_as_it_is(saved, tmp_path, config):
    content = {**read_checkpoint(saved), "config": config}
    torch.save(content, tmp_path / "foreign.pth")
    load_detector(changed(TEXT, "neck.version", 1), tmp_path / "foreign.pth")


def test_what_chooses_among_detections_may_differ_and_is_said(tmp_path, caplog):
    path = tmp_path / "boxes.pth.tar"
    save_checkpoint(path, new_detector(BOXES).state_dict(), {"model": BOXES}, 1, {}, ["a", "b", "c"])
    with caplog.at_level(logging.WARNING):
        detector, _ = load_detector(changed(BOXES, "heads.score_thresh", 0.5), path)
    assert "was trained with model.heads.score_thresh=0.05, runs with 0.5" in caplog.text
    assert detector.roi_heads.score_thresh == 0.5
    assert detector.classes == ("a", "b", "c")


def test_the_checkpoint_of_one_teacher_in_place_of_another(tmp_path):
    """The two teachers of multi-neck distillation swapped: named, before any shape is."""
    configs = write_configs(tmp_path, SHAPES)
    cfg = load_experiment(configs["faster"])
    cascade = load_experiment(configs["cascade"]).config
    path = tmp_path / "cascade.pth.tar"
    save_checkpoint(path, new_detector(cascade["model"]).state_dict(), cascade, 1, {})
    with pytest.raises(InputError, match=r"trained with model.heads='CascadeHeads', the config has 'FasterHeads'"):
        load_detector(cfg.model, path)


@pytest.mark.parametrize(
    "name, value, says",
    [
        ("head.conv2.weight", float("nan"), r"head.conv2.weight holds 1 of 96 values that are not finite"),
        ("neck.reduce.0.0.weight", float("inf"), r"holds 1 of \d+ values that are not finite"),
        ("backbone.bn1.running_mean", float("nan"), r"backbone.bn1.running_mean holds 1"),
        ("backbone.bn1.running_var", float("-inf"), r"backbone.bn1.running_var holds 1"),
        ("backbone.bn1.running_var", -1e-3, r"backbone.bn1.running_var holds a negative variance"),
    ],
)
def test_weights_that_are_no_numbers(saved, tmp_path, name, value, says):
    content = read_checkpoint(saved)
    content["state_dict"][name].view(-1)[-1] = value
    torch.save(content, tmp_path / "bad.pth.tar")
    for read in (read_weights, lambda path: load_detector(TEXT, path)):
        with pytest.raises(InputError, match=f"bad.pth.tar: .*{says}"):
            read(tmp_path / "bad.pth.tar")
    with pytest.raises(InputError, match=says):
        new_detector(changed(TEXT, "backbone.pretrained", str(tmp_path / "bad.pth.tar")))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_numbers_in_any_precision(kind):
    state = {"weight": torch.tensor([1.0, float("nan")]).to(kind), "running_var": torch.zeros(2)}
    with pytest.raises(InputError, match="weight holds 1 of 2"):
        state_dict_of(state, "file")
    state["weight"][1] = 2
    assert list(state_dict_of(state, "file")) == ["weight", "running_var"]
    with pytest.raises(InputError, match="weight is no dense tensor"):
        state_dict_of({"weight": torch.eye(2).to_sparse()}, "file")


def test_the_wrong_file_of_a_run():
    network = new_detector(TEXT)
    whole = {f"learner.student.{key}": value for key, value in network.state_dict().items()}
    for load in (load_strict, load_matching):
        with pytest.raises(InputError, match=r"resume.ckpt: holds all of a training run, for --resume; name .*_last"):
            load(network, state_dict_of({"state_dict": whole}, "resume.ckpt"), "resume.ckpt")
    optimiser = torch.optim.SGD(network.parameters(), 0.1).state_dict()
    for content in (optimiser, {"state_dict": optimiser}):
        with pytest.raises(InputError, match=r"sgd.pth: holds the state of an optimiser, no weights"):
            state_dict_of(content, "sgd.pth")
