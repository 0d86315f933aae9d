"""Literal PAN, KKDnet and PSENet, with the parameter names of their published checkpoints.

They share no code with `models`, so that importing can be tested without a published file.
"""

import torch
import torch.nn.functional as F
from torch import nn


class ConvBNReLU(nn.Module):
    def __init__(self, inputs, outputs, kernel=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Two 3x3 convolutions (depth 18), or 1x1, 3x3, 1x1 (depth 50), and a shortcut."""

    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        self.bottleneck = bottleneck
        if bottleneck:
            shapes, outputs = [(inputs, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)], 4 * width
        else:
            shapes, outputs = [(inputs, width, 3, stride), (width, width, 3, 1)], width
        for i, (a, b, k, s) in enumerate(shapes, 1):
            self.add_module(f"conv{i}", nn.Conv2d(a, b, k, s, padding=k // 2, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(b))
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        else:
            self.downsample = None

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.bottleneck:
            out = self.bn3(self.conv3(F.relu(out)))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class Backbone(nn.Module):
    def __init__(self, depth, width=64):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 2 * width, 3, 1, 1, bias=False), nn.BatchNorm2d(2 * width)
        inputs = 2 * width
        self.channels = []
        for i, repeats in enumerate({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]):
            blocks, outputs = [], width * 2**i * (4 if depth == 50 else 1)
            for n in range(repeats):
                blocks.append(Block(inputs, width * 2**i, 2 if i > 0 and n == 0 else 1, depth == 50))
                inputs = outputs
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
            self.channels.append(outputs)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.relu(self.bn3(self.conv3(x)))
        x = F.max_pool2d(x, 3, 2, 1)
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return maps


def resize(x, like):
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


class FPEM(nn.Module):
    """Layers 'A_B': level A (1 finest) of the up path (B=1) or the down path (B=2)."""

    def __init__(self, channels, version):
        super().__init__()
        self.version = version
        for name in ("3_1", "2_1", "1_1", "2_2", "3_2", "4_2"):
            stride = 1 if name.endswith("_1") else 2
            depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
            self.add_module(f"dwconv{name}", depthwise)
            self.add_module(f"smooth_layer{name}", ConvBNReLU(channels, channels))

    def step(self, name, x):
        return self.get_submodule(f"smooth_layer{name}")(self.get_submodule(f"dwconv{name}")(x))

    def forward(self, f1, f2, f3, f4):
        up3 = self.step("3_1", f3 + resize(f4, f3))
        up2 = self.step("2_1", f2 + resize(up3, f2))
        up1 = self.step("1_1", f1 + resize(up2, f1))
        down2 = self.step("2_2", up1 + resize(up2, up1))
        down3 = self.step("3_2", down2 + resize(up3, down2))
        down4 = self.step("4_2", down3 + resize(f4, down3))
        if self.version == 2:
            return up1 + f1, down2 + f2, down3 + f3, down4 + f4
        return up1, down2, down3, down4


class Head(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, hidden, 3, padding=1), nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x):
        return self.conv2(F.relu(self.bn1(self.conv1(x))))


class PAN(nn.Module):
    def __init__(self, depth=18, width=64, channels=128, version=1):
        super().__init__()
        self.backbone = Backbone(depth, width)
        for i, inputs in enumerate(self.backbone.channels, 1):
            self.add_module(f"reduce_layer{i}", ConvBNReLU(inputs, channels))
        self.fpem1, self.fpem2 = FPEM(channels, version), FPEM(channels, version)
        self.det_head = Head(4 * channels, channels, 6)

    def pyramid(self, images):
        f = self.backbone(images)
        reduced = [self.get_submodule(f"reduce_layer{i}")(x) for i, x in enumerate(f, 1)]
        first = self.fpem1(*reduced)
        return [a + b for a, b in zip(first, self.fpem2(*first))]

    def forward(self, images):
        f1, f2, f3, f4 = self.pyramid(images)
        return self.det_head(torch.cat([f1, resize(f2, f1), resize(f3, f1), resize(f4, f1)], 1))


class Parts(nn.Module):
    """A holder of bias-free 1x1 projections of (B, C, N)."""

    def __init__(self, **shapes):
        super().__init__()
        for name, (inputs, outputs) in shapes.items():
            self.add_module(name, nn.Conv1d(inputs, outputs, 1, bias=False))


class KKDNet(PAN):
    """PAN with one FPEM under two names and the visual transformer; only the student calls `reduce_layer_ts`."""

    def __init__(self, depth, width=64, channels=128, tokens=32, version=2, student=True):
        super().__init__(depth, width, channels, version)
        self.fpem2 = self.fpem1
        self.channels, self.tokens, self.student = channels, tokens, student
        square = (channels, channels)
        self.reduce_layer_ts = ConvBNReLU(4 * channels, 4 * channels)
        self.tokenizer = Parts(W_a=(channels, tokens), W_v=square)
        self.transformer = Parts(key_proj=square, query_proj=square, value_proj=square, f1=square, f2=square)
        self.transformer.norm = nn.LayerNorm([channels, 4 * tokens])
        self.projector = Parts(W_q=square, W_k=square, W_v=square)

    def encode(self, t):
        part, root = self.transformer, self.channels**0.5
        attention = torch.einsum("bck,bcq->bkq", part.key_proj(t), part.query_proj(t)) / root
        t = part.norm(t + torch.einsum("bck,bkq->bcq", part.value_proj(t), attention.softmax(1)))
        return part.norm(t + part.f2(F.relu(part.f1(t))))

    def forward(self, images):
        return self.maps(images)[1]

    def maps(self, images):
        """Distilled maps: text feature (the student's after `reduce_layer_ts`) and output maps."""
        maps, root = self.pyramid(images), self.channels**0.5
        flat = [f.flatten(2) for f in maps]
        tokens = []
        for x in flat:
            attention = (self.tokenizer.W_a(x) / root).softmax(2)
            tokens.append(torch.einsum("bcn,btn->bct", self.tokenizer.W_v(x), attention))
        encoded = self.encode(self.encode(torch.cat(tokens, 2))).split(self.tokens, 2)
        out = []
        for f, x, t in zip(maps, flat, encoded):
            attention = torch.einsum("bcn,bct->bnt", self.projector.W_q(x), self.projector.W_k(t)) / root
            added = torch.einsum("bct,bnt->bcn", self.projector.W_v(t), attention.softmax(2))
            out.append((x + added).reshape(f.shape))
        text_feature = torch.cat([out[0], *[resize(f, out[0]) for f in out[1:]]], 1)
        text_feature = self.reduce_layer_ts(text_feature) if self.student else text_feature
        return text_feature, self.det_head(text_feature)


class FPN(nn.Module):
    def __init__(self, inputs, channels):
        super().__init__()
        self.toplayer_ = ConvBNReLU(inputs[3], channels)
        for i in (1, 2, 3):
            self.add_module(f"latlayer{i}_", ConvBNReLU(inputs[3 - i], channels))
            self.add_module(f"smooth{i}_", ConvBNReLU(channels, channels, 3))

    def forward(self, f2, f3, f4, f5):
        p5 = self.toplayer_(f5)
        lateral = self.latlayer1_(f4)
        p4 = self.smooth1_(lateral + resize(p5, lateral))
        lateral = self.latlayer2_(f3)
        p3 = self.smooth2_(lateral + resize(p4, lateral))
        lateral = self.latlayer3_(f2)
        p2 = self.smooth3_(lateral + resize(p3, lateral))
        return torch.cat([p2, resize(p3, p2), resize(p4, p2), resize(p5, p2)], 1)


class PSENet(nn.Module):
    def __init__(self, depth=50, width=64, channels=256):
        super().__init__()
        self.backbone = Backbone(depth, width)
        self.fpn = FPN(self.backbone.channels, channels)
        self.det_head = Head(4 * channels, channels, 7)

    def forward(self, images):
        return self.det_head(self.fpn(*self.backbone(images)))


def randomise(network, seed=0):
    """Sets random signal-preserving weights and random batch-norm statistics; evaluation mode."""
    generator = torch.Generator().manual_seed(seed)

    def between(tensor, low, high):
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
                if module.bias is not None:
                    between(module.bias, -0.5, 0.5)
            elif isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                between(module.weight, 0.4, 1.2)
                between(module.bias, -0.5, 0.5)
                if isinstance(module, nn.BatchNorm2d):
                    between(module.running_mean, -0.5, 0.5)
                    between(module.running_var, 0.6, 1.6)
                    module.num_batches_tracked.fill_(7)
    return network.eval()
