"""Activations that are computed again in the backward pass."""

import torch
from text_networks import small_model
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from models import build_detector
from models.recompute import recomputed


def test_recomputing_changes_neither_gradients_nor_running_statistics():
    torch.manual_seed(0)
    kept = build_detector(small_model())
    again = build_detector({**small_model(), "recompute": True})
    again.load_state_dict(kept.state_dict())
    images = torch.randn(2, 3, 64, 64)
    for model in (kept, again):
        model.train()(images).logits.square().mean().backward()
    for (name, a), b in zip(kept.named_parameters(), again.parameters()):
        assert torch.equal(a.grad, b.grad), name
    for (name, a), b in zip(kept.named_buffers(), again.buffers()):
        assert torch.equal(a, b), name


def test_recomputing_moves_the_statistics_of_other_batch_norms_once():
    """Those over several GPUs, which --sync-batchnorm puts in their place, are of another class."""

    class OtherNorm(_BatchNorm):
        def _check_input_dim(self, images):
            pass

    torch.manual_seed(0)
    part, images = nn.Sequential(nn.Conv2d(3, 4, 3), OtherNorm(4)), torch.randn(2, 3, 8, 8)
    recomputed(part, images).square().mean().backward()
    assert part[1].num_batches_tracked == 1
    torch.testing.assert_close(part[1].running_mean, 0.1 * part[0](images).mean((0, 2, 3)))
