"""Networks: shapes, sizes of the published checkpoints, and parts against literal versions."""

import math

import pytest
import torch
import torch.nn.functional as F
from text_networks import small_model

from errors import InputError
from models import FPEMNeck, PSENetFPN, ResNet, TimmBackbone, VisualTransformer, build_detector
from models.fuse import fuse_batch_norm
from models.layers import upsample_to
from models.text.fpem import FPEM
from models.weights import load_matching, read_weights


def kkd(depth: int, bypass: bool) -> dict:
    return dict(
        type="TextDetector",
        backbone=dict(type="ResNet", depth=depth),
        neck=dict(type="FPEMNeck", shared=True),
        transformer=dict(type="VisualTransformer"),
        adapter=dict(type="FeatureAdapter", bypass=bypass),
        head=dict(type="PANHead"),
    )


@pytest.mark.parametrize("depth, bypass, millions", [(18, False, 12.6), (50, True, 25.3)])
def test_full_size_networks_have_the_published_number_of_parameters(depth, bypass, millions):
    count = sum(p.numel() for p in build_detector(kkd(depth, bypass)).parameters())
    assert round(count / 1e6, 1) == millions


@pytest.mark.parametrize("depth, channels", [(18, 64), (50, 256), (101, 256)])
def test_resnet_strides_and_channels(depth, channels):
    maps = ResNet(depth).eval()(torch.zeros(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (channels, 16, 24), (2 * channels, 8, 12), (4 * channels, 4, 6), (8 * channels, 2, 3)
    ]  # fmt: skip


def test_detector_output_has_the_documented_shapes():
    out = build_detector(small_model()).eval()(torch.zeros(2, 3, 64, 96))
    assert [tuple(level.shape) for level in out.pyramid] == [
        (2, 16, 16, 24), (2, 16, 8, 12), (2, 16, 4, 6), (2, 16, 2, 3)
    ]  # fmt: skip
    assert out.fused.shape == (2, 64, 16, 24) and out.logits.shape == (2, 6, 16, 24)


def test_sides_must_be_multiples_of_32():
    with pytest.raises(ValueError, match="multiples of 32"):
        build_detector(small_model())(torch.zeros(1, 3, 64, 72))


def test_shared_fpem_has_one_set_of_weights():
    shared, separate = (FPEMNeck((8, 16, 32, 64), 8, shared=s) for s in (True, False))
    extra = sum(p.numel() for p in separate.parameters()) - sum(p.numel() for p in shared.parameters())
    assert extra == sum(p.numel() for p in FPEM(8).parameters())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_upsampled_and_concatenated_levels_get_the_gradient_of_autograd(layout):
    levels = [torch.rand(2, 8, side, side).to(memory_format=layout).requires_grad_() for side in (16, 8, 4)]
    weights = torch.rand(2, 24, 16, 16)
    plain = [F.interpolate(level, size=(16, 16), mode="bilinear", align_corners=False) for level in levels]
    ours = [upsample_to(level, levels[0]) for level in levels]
    expected, found = (torch.autograd.grad((torch.cat(maps, 1) * weights).sum(), levels) for maps in (plain, ours))
    assert all(torch.allclose(a, b, rtol=1e-6, atol=0) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("residual", [False, True])
def test_fpem_equals_its_definition_step_by_step(residual):
    torch.manual_seed(0)
    module = FPEM(4, residual).eval()
    f = [torch.randn(1, 4, 32 >> i, 48 >> i) for i in range(4)]

    def up(a, b):
        return F.interpolate(a, size=b.shape[-2:], mode="bilinear", align_corners=False) + b

    u3 = module.up[2](up(f[3], f[2]))
    u2 = module.up[1](up(u3, f[1]))
    u1 = module.up[0](up(u2, f[0]))
    d2 = module.down[0](up(u2, u1))
    d3 = module.down[1](up(u3, d2))
    d4 = module.down[2](up(f[3], d3))
    expected = [u1, d2, d3, d4]
    if residual:
        expected = [a + b for a, b in zip(expected, f)]
    for found, wanted in zip(module(f), expected):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("shared", [True, False])
def test_neck_sums_both_passes(shared):
    neck = FPEMNeck((4, 4, 4, 4), 4, shared=shared).eval()
    stages = [torch.randn(1, 4, 32 >> i, 32 >> i) for i in range(4)]
    first = neck.fpem1([r(s) for r, s in zip(neck.reduce, stages)])
    second = (neck.fpem1 if shared else neck.fpem2)(first)
    for found, a, b in zip(neck(stages), first, second):
        torch.testing.assert_close(found, a + b)


def test_visual_transformer_equals_its_definition_in_float64():
    torch.manual_seed(0)
    channels, tokens = 6, 5
    module = VisualTransformer(channels, tokens).double()
    with torch.no_grad():
        module.encoder.norm.weight.uniform_(0.5, 1.5)
    pyramid = [torch.randn(1, channels, 8 >> i, 16 >> i, dtype=torch.float64) for i in range(3)]
    pyramid.append(torch.randn(1, channels, 1, 2, dtype=torch.float64))
    w = {name: p.detach().squeeze(-1) for name, p in module.named_parameters() if "norm" not in name}
    root = math.sqrt(channels)

    parts = []
    for level in pyramid:
        x = level[0].reshape(channels, -1)
        attention = torch.stack([torch.softmax(row / root, 0) for row in w["tokenizer.attention.weight"] @ x])
        parts.append((w["tokenizer.value.weight"] @ x) @ attention.T)
    t = torch.cat(parts, 1)
    for _ in range(2):
        k, q, v = (w[f"encoder.{n}.weight"] @ t for n in ("key", "query", "value"))
        scores = torch.empty(t.shape[1], t.shape[1], dtype=torch.float64)
        for i in range(t.shape[1]):
            for j in range(t.shape[1]):
                scores[i, j] = k[:, i] @ q[:, j] / root
        scores = torch.softmax(scores, 0)

        def norm(z):
            plane = (z - z.mean()) / torch.sqrt(z.var(unbiased=False) + 1e-5)
            return plane * module.encoder.norm.weight + module.encoder.norm.bias

        t = norm(t + v @ scores)
        t = norm(t + w["encoder.contract.weight"] @ torch.relu(w["encoder.expand.weight"] @ t))
    for i, (level, found) in enumerate(zip(pyramid, module(pyramid))):
        x, own = level[0].reshape(channels, -1), t[:, i * tokens : (i + 1) * tokens]
        q, k, v = (
            w["projector.query.weight"] @ x, w["projector.key.weight"] @ own, w["projector.value.weight"] @ own
        )  # fmt: skip
        weights = torch.softmax(q.T @ k / root, 1)
        torch.testing.assert_close(found[0].reshape(channels, -1), x + v @ weights.T)


def test_bypassed_adapter_is_held_but_not_used():
    torch.manual_seed(0)
    with_weights = small_model()
    with_weights["adapter"] = dict(type="FeatureAdapter", channels=64, bypass=True)
    held, bare = build_detector(with_weights).eval(), build_detector(small_model(adapter=False)).eval()
    load_matching(bare, held.state_dict(), "held")
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(held(images).logits, bare(images).logits)
    assert not any(p.requires_grad for p in held.adapter.parameters())


def test_fused_network_agrees_with_the_original():
    torch.manual_seed(0)
    model = build_detector(small_model()).train()
    for _ in range(3):
        model(torch.randn(4, 3, 64, 64))  # moves the running statistics away from 0 and 1
    model.eval()
    fused, images = fuse_batch_norm(model), torch.randn(2, 3, 64, 96)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fused.modules())
    torch.testing.assert_close(fused(images).logits, model(images).logits, atol=1e-4, rtol=1e-4)


def test_a_batch_norm_that_follows_no_convolution_stays():
    norm = torch.nn.BatchNorm2d(4)
    norm.running_mean.fill_(1.0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU(), norm).eval()
    fused, images = fuse_batch_norm(model), torch.randn(2, 3, 8, 8)
    assert type(fused[2]) is torch.nn.BatchNorm2d
    torch.testing.assert_close(fused(images), model(images))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_timm_backbones_take_the_place_of_the_resnet(name):
    model = small_model()
    model["backbone"] = dict(type="TimmBackbone", name=name)
    out = build_detector(model).eval()(torch.zeros(1, 3, 64, 96))
    assert out.logits.shape == (1, 6, 16, 24)


def test_timm_backbone_names_its_mistakes(tmp_path):
    with pytest.raises(InputError, match="did you mean 'resnet18'"):
        TimmBackbone("resnet_18")
    with pytest.raises(InputError, match="no feature map at stride"):
        TimmBackbone("vit_tiny_patch16_224")
    with pytest.raises(InputError, match="no such file"):
        TimmBackbone("resnet18", pretrained=str(tmp_path / "none.pth"))


def test_pretrained_backbone_takes_what_matches(tmp_path):
    source, path = ResNet(18, width=16), tmp_path / "weights.pth"
    state = {f"module.{k}": v for k, v in source.state_dict().items()}
    state["module.fc.weight"] = torch.zeros(10, 128)
    state["module.conv1.weight"] = torch.zeros(16, 3, 7, 7)
    torch.save({"state_dict": state}, path)
    target = ResNet(18, width=16)
    left_out = load_matching(target, read_weights(path), str(path))
    assert "fc.weight" in left_out and "conv1.weight" in left_out
    torch.testing.assert_close(target.layer3[0].conv1.weight, source.layer3[0].conv1.weight)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "truncated"),
        (b"not a checkpoint at all", "refused|truncated"),
        ({"state_dict": {}}, "no tensors"),
        ({"state_dict": 3}, "'state_dict' is a int"),
        ({"state_dict": {"a": torch.zeros(1)}, "extra": None}, "refused"),
        ([1, 2], "holds a list"),
    ],
)
def test_bad_weight_files_are_refused(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content.__class__ is dict and "extra" in content:
        torch.save({**content, "extra": pathlib_object()}, path)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=message):
        read_weights(path)


def pathlib_object():
    """Something that only a full unpickling could bring back."""
    import fractions

    return fractions.Fraction(1, 3)


def test_truncated_and_missing_weight_files(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": ResNet(18, width=16).state_dict()}, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="truncated"):
        read_weights(path)
    with pytest.raises(InputError, match="no such checkpoint"):
        read_weights(tmp_path / "none.pth")


def test_channels_that_do_not_fit_are_named():
    model = small_model()
    model["neck"]["in_channels"] = (1, 2, 3, 4)
    with pytest.raises(InputError, match=r"model\.neck\.in_channels"):
        build_detector(model)


@torch.no_grad()
def test_fpn_equals_its_definition():
    torch.manual_seed(0)
    neck = PSENetFPN((16, 32, 64, 128), channels=8).eval()
    c2, c3, c4, c5 = (torch.randn(2, 16 * 2**i, 24 // 2**i, 16 // 2**i) for i in range(4))

    def up(coarse, fine):
        return F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False) + fine

    p5 = neck.top(c5)
    p4 = neck.smooth[0](up(p5, neck.lateral[0](c4)))
    p3 = neck.smooth[1](up(p4, neck.lateral[1](c3)))
    p2 = neck.smooth[2](up(p3, neck.lateral[2](c2)))
    found = neck((c2, c3, c4, c5))
    assert all(torch.equal(a, b) for a, b in zip(found, (p2, p3, p4, p5), strict=True))
    assert [part[0].kernel_size for part in (neck.top, *neck.lateral, *neck.smooth)] == [(1, 1)] * 4 + [(3, 3)] * 3


def test_psenet_has_1024_fused_channels_and_seven_maps():
    model = dict(
        type="TextDetector",
        backbone=dict(type="ResNet", depth=18),
        neck=dict(type="PSENetFPN"),
        head=dict(type="PSENetHead"),
    )
    detector = build_detector(model).eval()
    out = detector(torch.zeros(1, 3, 64, 96))
    assert out.fused.shape == (1, 1024, 16, 24) and out.logits.shape == (1, 7, 16, 24)
    assert detector.head.maps == ("text", *["kernel"] * 6) and detector.head.conv1.out_channels == 256
