"""Backbones of the object detectors: their weights, and what of them is trained."""

import logging
import urllib.request

import pytest
import torch
import torchvision
from object_networks import small_rcnn
from torch import nn

from errors import InputError
from models.backbone.torchvision_resnet import TorchvisionResNet
from models.objects.rcnn import build_rcnn


@pytest.fixture
def imagenet_file(tmp_path):
    """A file as torchvision publishes them, with statistics that are not those of a new network."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None)
    for buffer in network.buffers():
        buffer.add_(torch.ones_like(buffer))
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


def norms(model):
    return [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def test_a_local_file_is_loaded_and_its_classifier_left_out(imagenet_file, caplog):
    with caplog.at_level(logging.INFO):
        backbone = TorchvisionResNet(18, pretrained=str(imagenet_file))
    assert "left out or not found: fc.bias, fc.weight" in caplog.text
    state = torch.load(imagenet_file)
    assert all(torch.equal(value, state[name]) for name, value in backbone.state_dict().items())
    assert list(backbone.state_dict()) == list(TorchvisionResNet(18).state_dict())


def test_torchvisions_registry_is_asked_only_by_name(imagenet_file, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(urllib.request, "_opener", None)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens: no download can succeed
    with pytest.raises(InputError, match="resnet18 has IMAGENET1K_V1"):
        TorchvisionResNet(18, pretrained="torchvision:IMAGENET")
    place = tmp_path / "home/hub/checkpoints/resnet18-f37072fd.pth"
    with pytest.raises(InputError, match=r"cannot be downloaded.*resnet18-f37072fd\.pth"):
        TorchvisionResNet(18, pretrained="torchvision:IMAGENET1K_V1")
    place.write_bytes(imagenet_file.read_bytes())  # where the message says
    backbone = TorchvisionResNet(18, pretrained="torchvision:IMAGENET1K_V1")
    assert torch.equal(backbone.layer4[1].conv2.weight, torch.load(imagenet_file)["layer4.1.conv2.weight"])


def test_norms_over_several_gpus_stay_frozen_too(imagenet_file):
    """As with --sync-batchnorm, which replaces them at the start."""
    backbone = TorchvisionResNet(18, str(imagenet_file), freeze_norm=True)
    replaced = nn.SyncBatchNorm.convert_sync_batchnorm(backbone)
    norms = [m for m in replaced.eval().train().modules() if isinstance(m, nn.SyncBatchNorm)]
    assert len(norms) == 20 and not any(norm.training for norm in norms)


def test_loaded_weights_are_frozen_as_usual_and_random_ones_train(imagenet_file):
    scratch = TorchvisionResNet(18).train()
    assert all(norm.training for norm in norms(scratch)) and all(p.requires_grad for p in scratch.parameters())

    loaded = TorchvisionResNet(18, pretrained=str(imagenet_file)).train()
    before = {name: buffer.clone() for name, buffer in loaded.named_buffers()}
    sum(level.sum() for level in loaded(torch.randn(1, 3, 64, 64))).backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in loaded.named_buffers())
    for name, parameter in loaded.named_parameters():
        of_norm = parameter.dim() == 1  # no convolution has a bias
        frozen = of_norm or name.startswith(("conv1", "layer1"))
        assert parameter.requires_grad != frozen and (parameter.grad is None) == frozen, name


@pytest.mark.parametrize("freeze_norm, frozen_stages", [(True, 0), (False, 2), (True, 4)])
def test_options_that_are_given_are_obeyed_without_and_with_weights(imagenet_file, freeze_norm, frozen_stages):
    for pretrained in (None, str(imagenet_file)):
        backbone = TorchvisionResNet(18, pretrained, freeze_norm, frozen_stages).train()
        for name, child in backbone.named_children():
            stage = int(name[-1]) if name.startswith("layer") else 1
            frozen = stage <= frozen_stages
            assert all(norm.training != (frozen or freeze_norm) for norm in norms(child))
            assert all(p.requires_grad != frozen for p in child.parameters() if p.dim() == 4)


def test_a_detector_in_training_keeps_its_backbone_frozen(imagenet_file):
    model = small_rcnn()
    model["backbone"]["pretrained"] = str(imagenet_file)
    detector = build_rcnn(model).eval().train()
    assert not any(norm.training for norm in norms(detector)) and detector.backbone["body"].layer4.training
