"""Channel pruning of inverted residuals: what the kept channels compute, which they are, and what is refused."""

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import InputError
from models import TimmBackbone
from models.backbone.narrow import narrow, narrowed


def random_network(name: str = "tf_efficientnet_lite0", seed: int = 0) -> torch.nn.Module:
    """A timm network in evaluation mode whose batch norms do something."""
    torch.manual_seed(seed)
    network = timm.create_model(name, features_only=True, out_indices=(1, 2, 3, 4))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(-2, 2)
            module.bias.data.normal_()
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def blocks_of(network):
    return {name: block for name, block in network.named_modules() if hasattr(block, "conv_pwl")}


def kept_channels(block, width):
    """Reference: a loop over channels, sorted by strength."""
    strength = {}
    for channel in range(block.conv_pwl.in_channels):
        carried = sum(abs(float(weight)) for weight in block.conv_pwl.weight[:, channel].flatten())
        strength[channel] = abs(float(block.bn2.weight[channel])) * carried
    return sorted(sorted(strength, key=strength.get, reverse=True)[:width])


@settings(max_examples=5, deadline=None)
@given(expansion=st.sampled_from([0.5, 1.5, 2, 3, 5]), seed=st.integers(0, 99))
def test_a_narrow_network_computes_what_the_wide_one_does_with_its_weak_channels_cut_off(expansion, seed):
    wide, narrower = random_network(seed=seed).double(), random_network(seed=seed).double()
    narrow(narrower, expansion)
    blocks = blocks_of(narrower)
    assert len(blocks) == 15
    for name, block in blocks_of(wide).items():
        width = int(expansion * block.conv_pw.in_channels)
        own = blocks[name]
        layers = (own.conv_pw.out_channels, own.conv_dw.in_channels, own.conv_dw.groups, own.conv_pwl.in_channels)
        assert (*layers, own.bn1.num_features, own.bn2.num_features) == (width,) * 6
        with torch.no_grad():
            cut = torch.zeros(block.conv_pwl.in_channels, dtype=torch.float64)
            cut[kept_channels(block, width)] = 1
            block.conv_pwl.weight *= cut.view(1, -1, 1, 1)
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    for own, other in zip(narrower(images), wide(images), strict=True):
        torch.testing.assert_close(own, other)


def test_a_narrow_network_trains_all_of_its_weights_and_saves_no_others():
    network = random_network().train()
    narrow(network, 2)
    sum(maps.square().mean() for maps in network(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or p.grad.shape != p.shape] == []
    wide = random_network().state_dict()
    assert all(value.numel() <= wide[name].numel() for name, value in network.state_dict().items())


def test_only_blocks_that_expand_more_are_narrowed():
    network = random_network("mobilenetv2_035")  # whose first block has no expansion
    first = network.blocks[0][0].state_dict()
    narrow(network, 3)
    assert all(torch.equal(value, first[key]) for key, value in network.blocks[0][0].state_dict().items())


def test_the_pretrained_weights_are_narrowed_not_the_random_ones(tmp_path):
    torch.manual_seed(1)
    trained = timm.create_model("tf_efficientnet_lite0")
    torch.save(trained.state_dict(), tmp_path / "lite0.pth")
    backbone = TimmBackbone("tf_efficientnet_lite0", pretrained=str(tmp_path / "lite0.pth"), expansion=2)
    block = trained.blocks[1][0]
    kept = kept_channels(block, 32)
    assert torch.equal(backbone.body.blocks[1][0].conv_dw.weight, block.conv_dw.weight[kept])
    assert torch.equal(backbone.body.conv_stem.weight, trained.conv_stem.weight)
    assert backbone.channels == TimmBackbone("tf_efficientnet_lite0").channels


def test_weights_of_16_bits_are_handed_on_as_they_are_and_others_untouched(caplog):
    wide, narrower = random_network(), random_network()
    with caplog.at_level("INFO"):
        narrow(narrower, 2)
    channels = [sum(block.conv_pw.out_channels for block in blocks_of(net).values()) for net in (narrower, wide)]
    assert f"kept the strongest {channels[0]} of {channels[1]} expanded channels" in caplog.text
    state = {key: value.half() for key, value in wide.state_dict().items()}
    result = narrowed({**state, "head.weight": torch.ones(3)}, narrower)
    assert {value.dtype for key, value in result.items() if key != "head.weight"} == {torch.float16}
    assert result.pop("head.weight").shape == (3,)
    assert {key: value.shape for key, value in result.items()} == {
        key: value.shape for key, value in narrower.state_dict().items()
    }
    same = wide.state_dict()
    assert all(value is same[key] for key, value in narrowed(same, random_network()).items())


@pytest.mark.parametrize(
    "name, expansion, message",
    [
        ("tf_efficientnet_lite0", 6, r"expansion=6: no inverted residual of the model expands more"),
        ("resnet18", 2, r"expansion=2: no inverted residual"),
        ("tf_efficientnet_lite0", 0, r"expansion=0: leaves no channel of blocks\.1\.0"),
        ("tf_efficientnet_lite0", -1, r"expansion=-1: leaves no channel"),
        ("mobilenetv3_small_100", 1, r"has squeeze-and-excitation"),
    ],
)
def test_what_cannot_be_narrowed_is_refused(name, expansion, message):
    with pytest.raises(InputError, match=message):
        TimmBackbone(name, expansion=expansion)
